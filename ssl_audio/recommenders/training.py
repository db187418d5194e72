"""Training of the playlist models: a Lightning run over batches that are functions of the step.

Batches, and the random numbers of the model (dropout), follow from the step alone, so that a
resumed run equals an uninterrupted one, for any number of workers.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import IterableDataset, get_worker_info

from ssl_audio.io.console import quieten_lightning
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.lightning_run import ResumableLoader, find_checkpoint, make_trainer
from ssl_audio.io.lightning_run import fit as run_fit
from ssl_audio.io.loggers import keep_earlier_log
from ssl_audio.settings.recommend import FitSettings


class PlaylistModel(Protocol):
    """A `torch.nn.Module` that `fit` can train."""

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Scalars by name: "total" is minimised, all are logged."""

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """One optimiser, or several that step together, as for tables with sparse gradients."""


class JointOptimizer(torch.optim.Optimizer):
    """Optimisers of different parameters that step as one: Lightning counts the steps of each."""

    def __init__(self, optimizers: list[torch.optim.Optimizer]) -> None:
        self.optimizers = optimizers
        groups = [group for one in optimizers for group in one.param_groups]
        super().__init__([{"params": group["params"]} for group in groups], {})
        self.param_groups = groups  # the same objects as in the optimisers

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """A step of all; the closure is evaluated once."""
        found = None
        if closure is not None:
            with torch.enable_grad():
                found = closure()
        for one in self.optimizers:
            one.step()
        return found

    def state_dict(self) -> dict[str, Any]:
        """The states of all, in order."""
        return {"optimizers": [one.state_dict() for one in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for one, state in zip(self.optimizers, state_dict["optimizers"], strict=True):
            one.load_state_dict(state)
        self.param_groups = [group for one in self.optimizers for group in one.param_groups]


class _Module(lightning.LightningModule):
    def __init__(self, model: nn.Module, seed: int, warmup: int) -> None:
        super().__init__()
        self.model, self.seed, self.warmup = model, seed, warmup

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        step = self.trainer.global_step
        # dropout is drawn from the step, so that a resumed run draws the same
        torch.manual_seed(int(np.random.default_rng((self.seed, step)).integers(2**63)))
        terms = cast(PlaylistModel, self.model).loss(batch)
        total = terms["total"]
        if not torch.isfinite(total):
            raise SslAudioError(
                f"the loss is {total.item()} at step {step}: lower "
                "learning_rate, or resume from the last checkpoint with ckpt_path=last"
            )
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()})
        self.log("loss", total.detach(), prog_bar=True, logger=False)
        return total

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizers = cast(PlaylistModel, self.model).optimizers()
        one = optimizers[0] if len(optimizers) == 1 else JointOptimizer(optimizers)
        if not self.warmup:
            return one
        rising = LambdaLR(one, lambda step: min(1.0, (step + 1) / self.warmup))
        return {"optimizer": one, "lr_scheduler": {"scheduler": rising, "interval": "step"}}

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


@torch.no_grad()
def clip_gradients(model: nn.Module, max_norm: float) -> None:
    """Scale gradients, sparse ones too, to a norm of at most `max_norm`."""
    for parameter in model.parameters():
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    values = [g._values() if g.is_sparse else g for g in gradients]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(v) for v in values]))
    factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    for value in values:
        value.mul_(factor)


class _Steps(IterableDataset[Any]):
    """The batches of the steps from `start` on; workers take turns."""

    def __init__(self, make_batch: Callable[[int], Any], start: int, steps: int) -> None:
        self.make_batch, self.start, self.steps = make_batch, start, steps

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in range(self.start + first, self.steps, stride):
            yield self.make_batch(step)


def fit(
    model: nn.Module,
    make_batch: Callable[[int], Any],
    folder: Path,
    settings: FitSettings,
    *,
    steps: int,
    seed: int = 0,
    clip: float | None = None,
    warmup: int = 0,
    run_dir: Path | None = None,
    ckpt_path: str | None = None,
) -> None:
    """Train a playlist model; the global random state is left as it was.

    Args:
        model: a `PlaylistModel`, trained in place; then on the CPU, in evaluation mode.
        make_batch: the batch of a step, from 0.
        folder: of `logs/` (CSV, TensorBoard) and `checkpoints/`.
        seed: of the random numbers in the model.
        clip: max norm of the gradient; None: no limit.
        warmup: the first steps, in which the learning rate rises linearly to its value.
        run_dir: the folder that is named to resume an interrupted run; None: `folder`.
        ckpt_path: "last" resumes from the folder's last checkpoint, if there is one; the model of
            one that has all steps is loaded.

    Raises:
        SslAudioError: a loss that is not finite, or a checkpoint that cannot be used.
    """
    quieten_lightning()
    start, resume, last = 0, None, folder / "checkpoints" / "last.ckpt"
    if ckpt_path == "last" and last.exists():
        find_checkpoint(last, folder)  # refuses a damaged one
        resume = last
        kept = torch.load(last, map_location="cpu", weights_only=True)
        start = int(kept["batches_done"])
        if start >= steps:
            state = {k.removeprefix("model."): v for k, v in kept["state_dict"].items()}
            model.load_state_dict(state)
            model.eval()
            return
        keep_earlier_log(folder)
    trainer = make_trainer(
        folder, batches=steps, checkpoint_every=settings.checkpoint_every, monitor="train/total",
        accelerator=settings.accelerator, precision=settings.precision, run_dir=run_dir,
        max_steps=steps, gradient_clip_val=clip, devices=1,
        log_every_n_steps=min(settings.log_every, steps),
    )  # fmt: skip
    loader = ResumableLoader(
        _Steps(make_batch, start, steps), batch_size=None, num_workers=settings.workers
    )
    module = _Module(model.train(), seed, warmup)
    with torch.random.fork_rng(devices=[]):
        run_fit(trainer, module, train_dataloaders=loader, ckpt_path=resume)
    if steps % settings.checkpoint_every:  # the last step has a checkpoint, too
        trainer.save_checkpoint(last)
    model.to("cpu").eval()


def check_trainer(settings: FitSettings) -> None:
    """Refuse settings that this machine cannot train with, before any work.

    Raises:
        SslAudioError: no such accelerator, or a precision that it does not have.
    """
    quieten_lightning()
    make_trainer(
        Path(), batches=1, checkpoint_every=1, monitor="total", accelerator=settings.accelerator,
        precision=settings.precision, devices=1,
    )  # fmt: skip


def read_history(folder: Path) -> list[dict[str, float]]:
    """The terms that a run has logged, by step, across interruptions."""
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
