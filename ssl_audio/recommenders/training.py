"""The training of every playlist model: a Lightning run over batches that are made from their step.

A batch depends on the step alone, and so do random numbers in the model (dropout): a resumed run
sees what it would have seen, and any number of workers gives the same.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ssl_audio.io.console import quieten_lightning
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.lightning_run import (
    Interrupted,
    ProgressBar,
    checkpoints,
    keep_earlier_log,
    loggers,
    pick_precision,
    resume_path,
)
from ssl_audio.objectives.schedules import WarmupCosine
from ssl_audio.recommenders.models.sharded_table import clip_gradients


class PlaylistModel(Protocol):
    """What can be trained: a `torch.nn.Module` with these two."""

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Scalars: "total" is minimised, the others are logged."""

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """One, or several for tables of another kind: all step together."""


@dataclass(frozen=True)
class FitSettings:
    """How long and how a playlist model is trained.

    Attributes:
        steps: batches, an optimiser step each.
        workers: processes that make batches; 0 makes them in the training process.
        warmup: fraction of the run with a rising learning rate, before a cosine; None keeps the
            optimiser's own rate throughout.
        clip: greatest norm of the gradient; None for no limit.
        log_every, checkpoint_every: steps.
        accelerator, precision: as Lightning's; "auto" is bf16 where the device computes in it.
        seed: of what a model draws in a step.
        key: what the user sets to have more steps.
        run_dir: what the user names to go on; None: the folder itself.
    """

    steps: int
    workers: int = 0
    warmup: float | None = None
    clip: float | None = None
    log_every: int = 20
    checkpoint_every: int = 500
    accelerator: str = "auto"
    precision: str = "32-true"
    seed: int = 0
    key: str = "steps"
    run_dir: Path | None = None


class JointOptimizer(torch.optim.Optimizer):
    """Several optimisers that step as one, as Lightning counts steps by optimiser.

    Args:
        optimizers: of different parameters.
    """

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        self.optimizers = optimizers
        groups = [group for one in optimizers for group in one.param_groups]
        super().__init__([{"params": group["params"]} for group in groups], {})
        self.param_groups = groups  # the very groups, so that a schedule reaches them

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Step all; the closure is evaluated once."""
        found = None
        if closure is not None:
            with torch.enable_grad():
                found = closure()
        for one in self.optimizers:
            one.step()
        return found

    def state_dict(self) -> dict[str, Any]:
        """Those of all, in their order."""
        return {"optimizers": [one.state_dict() for one in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore all."""
        for one, state in zip(self.optimizers, state_dict["optimizers"], strict=True):
            one.load_state_dict(state)
        self.param_groups = [group for one in self.optimizers for group in one.param_groups]


class _Module(lightning.LightningModule):
    def __init__(self, model: nn.Module, settings: FitSettings) -> None:
        super().__init__()
        self.model: Any = model  # a PlaylistModel, which a Module cannot be told to be
        self.settings = settings

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        step = self.trainer.global_step
        # of dropout: drawn from the step, so that a resumed run draws what it would have drawn
        torch.manual_seed(int(np.random.default_rng((self.settings.seed, step)).integers(2**63)))
        terms = self.model.loss(batch)
        total = terms["total"]
        if not torch.isfinite(total):
            raise SslAudioError(
                f"the loss is {total.item()} at step {step}: lower "
                "learning_rate, or resume from the last checkpoint with ckpt_path=last"
            )
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()})
        self.log("loss", total.detach(), prog_bar=True, logger=False)
        return total

    def configure_optimizers(self) -> Any:
        made = self.model.optimizers()
        optimizer = made[0] if len(made) == 1 else JointOptimizer(made)
        if self.settings.warmup is None:
            return optimizer
        factor = WarmupCosine(warmup=self.settings.warmup, end=0.0)
        steps = self.settings.steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: factor(min(1, s / steps)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if gradient_clip_val is not None:
            clip_gradients(self.model, gradient_clip_val)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        batches: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        checkpoint["batches_done"] = batches.processed


class _Steps(IterableDataset[Any]):
    """The batches of a run from a step on; workers take turns."""

    def __init__(self, make_batch: Callable[[int], Any], start: int, steps: int) -> None:
        self.make_batch, self.start, self.steps = make_batch, start, steps

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in range(self.start + first, self.steps, stride):
            yield self.make_batch(step)


class _Loader(DataLoader[Any]):
    """A loader that the trainer knows can resume: it has been told where to start."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


def fit(
    model: nn.Module,
    make_batch: Callable[[int], Any],
    settings: FitSettings,
    folder: Path,
    ckpt_path: str | None = None,
) -> list[dict[str, float]]:
    """Train a playlist model.

    Random numbers in the model follow from torch's seed, which a resume must set alike; the
    caller's own random numbers go on as if there had been no training.

    Args:
        model: a `PlaylistModel`; it is trained in place and is on the CPU afterwards.
        make_batch: the batch of a step, from 0; a function of the step alone.
        settings: length and manner.
        folder: of `logs/` (CSV, TensorBoard) and `checkpoints/`.
        ckpt_path: "last" goes on with the folder's run.

    Returns:
        The logged terms: one mapping a logged step, with its `step`.

    Raises:
        SslAudioError: a loss that is not finite, or a checkpoint that cannot be used.
    """
    quieten_lightning()
    resume = resume_path(ckpt_path, folder, settings.steps, settings.key)
    start = 0
    if resume is not None:
        keep_earlier_log(folder)
        start = int(torch.load(resume, map_location="cpu", weights_only=True)["batches_done"])
    try:
        trainer = _trainer(settings, folder)
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        raise SslAudioError(f"trainer: {str(error).splitlines()[0]}") from error
    loader = _Loader(
        _Steps(make_batch, start, settings.steps), batch_size=None, num_workers=settings.workers
    )
    # every parameter in float32 and training mode, as Lightning leaves modules as they are
    module = _Module(model.train(), settings)
    with torch.random.fork_rng(devices=[]):
        trainer.fit(module, loader, ckpt_path=resume, weights_only=True)
    if settings.steps % settings.checkpoint_every:  # the end is a checkpoint too
        trainer.save_checkpoint(folder / "checkpoints" / "last.ckpt")
    model.to("cpu").eval()
    return read_history(folder)


def _trainer(settings: FitSettings, folder: Path) -> lightning.Trainer:
    return lightning.Trainer(
        default_root_dir=folder,
        logger=loggers(folder),
        callbacks=[
            checkpoints(folder, settings.checkpoint_every, "train/total"),
            Interrupted(folder, settings.run_dir),
            ProgressBar(),
        ],
        max_steps=settings.steps,
        max_epochs=-1,
        limit_train_batches=settings.steps,  # the whole run is one epoch: a resume is a step of it
        gradient_clip_val=settings.clip,
        log_every_n_steps=min(settings.log_every, settings.steps),
        accelerator=settings.accelerator,
        precision=pick_precision(settings.precision, settings.accelerator),  # type: ignore[arg-type]
        devices=1,
        use_distributed_sampler=False,
        enable_model_summary=False,
    )


def read_history(folder: Path) -> list[dict[str, float]]:
    """What a run has logged, in order of its steps, over all its resumes."""
    logs = folder / "logs" / "csv"
    rows: dict[int, dict[str, float]] = {}
    earlier = sorted(logs.glob("metrics-*.csv"), key=lambda path: int(path.stem.split("-")[1]))
    for path in [*earlier, logs / "metrics.csv"]:
        if path.is_file():
            with path.open(newline="") as file:
                rows |= {int(row["step"]): _terms(row) for row in csv.DictReader(file)}
    return [{"step": step, **rows[step]} for step in sorted(rows)]


def _terms(row: Mapping[str, str]) -> dict[str, float]:
    return {
        name.removeprefix("train/"): float(value)
        for name, value in row.items()
        if name.startswith("train/") and value
    }
