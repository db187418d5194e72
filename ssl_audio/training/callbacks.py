"""Callbacks that watch a run: collapse, a loss that is not finite, files that cannot be read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from ssl_audio.io.console import warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.collapse import alignment, embedding_std, rankme, uniformity

MAX_FILES_SHOWN = 8


def is_last_step(trainer: Trainer) -> bool:
    """True after the step that ends the run, by its number or its time."""
    return trainer.should_stop or trainer.global_step >= trainer.max_steps


def log_now(trainer: Trainer, module: LightningModule, values: Mapping[str, float]) -> None:
    """Log values whatever the interval of the log, under the number of finished steps."""
    module.log_dict(dict(values), logger=False, rank_zero_only=True)
    for logger in trainer.loggers:
        logger.log_metrics(dict(values), step=trainer.global_step)


class CollapseWatch(Callback):
    """Logs how spread out the embeddings are, and warns when they collapse.

    Args:
        every_n_steps: batches between two checks.
        minimum_std: min standard deviation of the unit-length embeddings over a batch, times
            sqrt(dimensions): 1 is isotropic, 0 a constant.
        minimum_rank: min effective rank (RankMe) of a batch's embeddings.
        patience: successive checks below a limit after which the run counts as collapsed.
    """

    def __init__(
        self, every_n_steps: int = 10, minimum_std: float = 0.05, minimum_rank: float = 2.0,
        patience: int = 3,
    ) -> None:  # fmt: skip
        self.every_n_steps, self.patience = every_n_steps, patience
        self.minimum_std, self.minimum_rank = minimum_std, minimum_rank
        self.latest: dict[str, float] = {}
        self.collapsed = False
        self._low = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx % self.every_n_steps:
            return
        measured = collapse_measures(outputs["embeddings"])
        self.latest = {name: float(value) for name, value in measured.items()}
        pl_module.log_dict({f"collapse/{name}": value for name, value in measured.items()})
        self._judge(trainer, outputs["embeddings"].shape[1])

    def _judge(self, trainer: Trainer, pairs: int) -> None:
        min_rank = min(self.minimum_rank, pairs / 4)  # the rank is at most the number of pairs
        low = self.latest["std"] < self.minimum_std or self.latest["rankme"] < min_rank
        self._low = self._low + 1 if low else 0
        before, self.collapsed = self.collapsed, self._low >= self.patience
        if self.collapsed and not before and trainer.is_global_zero:
            warn(
                f"step {trainer.global_step}: the embeddings collapse (spread "
                f"{self.latest['std']:.3f}, effective rank {self.latest['rankme']:.1f}). "
                "Lower optimizer.lr, or use larger batches (data.batch_size)."
            )

    def state_dict(self) -> dict[str, Any]:
        return {"low": self._low, "collapsed": self.collapsed, "latest": self.latest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._low = state_dict["low"]
        self.collapsed = state_dict["collapsed"]
        self.latest = state_dict["latest"]


@torch.no_grad()
def collapse_measures(embeddings: Tensor) -> dict[str, Tensor]:
    """Measures of collapse of the first two views of (views, pairs, D) embeddings."""
    anchor, positive = embeddings[:2]
    return {
        "std": embedding_std(anchor),
        "rankme": rankme(anchor),
        "alignment": alignment(anchor, positive),
        "uniformity": uniformity(anchor),
    }


class FiniteLoss(Callback):
    """Stops the run when the loss is not finite, with the step and the files of the batch."""

    def __init__(self) -> None:
        self._batch: Mapping[str, Any] = {}

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._batch = batch

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        if torch.isfinite(loss):
            return
        tracks = trainer.datamodule.dataset.tracks  # type: ignore[attr-defined]
        files = [Path(tracks[int(i)].path).name for i in self._batch["index"]]
        shown, hidden = files[:MAX_FILES_SHOWN], len(files) - MAX_FILES_SHOWN
        raise SslAudioError(
            f"the loss is {loss.item()} at step {trainer.global_step}. Files of the batch: "
            f"{', '.join(shown)}{f' and {hidden} more' if hidden > 0 else ''}. "
            "Lower optimizer.lr, or resume from the last checkpoint with ckpt_path=last."
        )


class ReadFailures(Callback):
    """Collects the files that the scan accepted but that could not be read later."""

    def __init__(self) -> None:
        self.failures: set[str] = set()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.failures.update(batch["failures"])

    def state_dict(self) -> dict[str, Any]:
        return {"failures": sorted(self.failures)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.failures = set(state_dict["failures"])
