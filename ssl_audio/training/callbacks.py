"""What watches a run: collapse, a loss that is not finite, files that could not be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from ssl_audio.io.console import warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives import collapse
from ssl_audio.training.module import PretrainModule


class CollapseWatch(lightning.Callback):
    """Log how spread out the embeddings are, and warn when a run collapses.

    Args:
        every_n_steps: how often to look.
        minimum_std: least standard deviation of the unit-length embeddings over a batch, times
            sqrt(dimensions): 1 is isotropic, 0 a constant.
        minimum_rank: least effective rank (RankMe) of a batch's embeddings.
        patience: looks in a row below a limit before the run is called collapsed.
    """

    def __init__(
        self,
        every_n_steps: int = 10,
        minimum_std: float = 0.05,
        minimum_rank: float = 2.0,
        patience: int = 3,
    ) -> None:
        self.every_n_steps = every_n_steps
        self.minimum_std = minimum_std
        self.minimum_rank = minimum_rank
        self.patience = patience
        self.latest: dict[str, float] = {}
        self.collapsed = False
        self._low = 0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if batch_idx % self.every_n_steps or not isinstance(pl_module, PretrainModule):
            return
        if pl_module.last_step is None:
            return
        figures = collapse_figures(pl_module.last_step.embeddings)
        self.latest = {name: float(value) for name, value in figures.items()}
        pl_module.log_dict({f"collapse/{name}": value for name, value in figures.items()})
        self._judge(trainer, pl_module.last_step.embeddings.shape[1])

    def _judge(self, trainer: lightning.Trainer, pairs: int) -> None:
        least_rank = min(self.minimum_rank, pairs / 4)  # a batch's rank is at most its size
        low = self.latest["std"] < self.minimum_std or self.latest["rankme"] < least_rank
        self._low = self._low + 1 if low else 0
        was = self.collapsed
        self.collapsed = self._low >= self.patience
        if self.collapsed and not was and trainer.is_global_zero:
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
def collapse_figures(embeddings: Tensor) -> dict[str, Tensor]:
    """The measures of collapse for one batch of `(2, pairs, D)` embeddings."""
    anchor, positive = embeddings
    return {
        "std": collapse.embedding_std(anchor),
        "rankme": collapse.rankme(anchor),
        "alignment": collapse.alignment(anchor, positive),
        "uniformity": collapse.uniformity(anchor),
    }


class FiniteLoss(lightning.Callback):
    """Stop on a loss that is not finite, naming the step and the batch's files."""

    def __init__(self) -> None:
        self._batch: Mapping[str, Any] = {}

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._batch = batch

    def on_before_backward(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, loss: Tensor
    ) -> None:
        if torch.isfinite(loss):
            return
        tracks = trainer.datamodule.dataset.tracks  # type: ignore[attr-defined]
        files = [Path(tracks[int(i)].path).name for i in self._batch["index"]]
        shown = ", ".join(files[:8]) + (f" and {len(files) - 8} more" if len(files) > 8 else "")
        raise SslAudioError(
            f"the loss is {float(loss)} at step {trainer.global_step}. "
            f"Files of the batch: {shown}. "
            "Lower optimizer.lr, or resume from the last checkpoint with ckpt_path=last."
        )


class ReadFailures(lightning.Callback):
    """Collect the files that the scan accepted and that a crop could not be read from."""

    def __init__(self) -> None:
        self.failures: set[str] = set()

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.failures.update(batch["failures"])

    def state_dict(self) -> dict[str, Any]:
        return {"failures": sorted(self.failures)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.failures = set(state_dict["failures"])
