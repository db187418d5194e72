"""The loss on tracks that are held out of training, on the same pairs every time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from ssl_audio.audio.batches import PairKey
from ssl_audio.audio.held_out import split_tracks
from ssl_audio.audio.pairs import PairDataset
from ssl_audio.audio.scan import Track
from ssl_audio.io.console import warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.reports.results import LossHistory
from ssl_audio.settings.pretrain import ValidationSettings
from ssl_audio.training.callbacks import is_last_step, log_now
from ssl_audio.training.module import PretrainModule

AUTO_SHARE, AUTO_MIN_TRACKS = 0.05, 2000  # validation.share=auto: 100 tracks or none
SEED = 7_406_141_597_280_219_393  # of the pairs: none that a run is likely to have
UNIT = 8  # a batch smaller than those of training is a multiple of it, for 1, 2, 4 or 8 processes


def split(tracks: Sequence[Track], chosen: ValidationSettings) -> tuple[list[Track], list[Track]]:
    """Tracks to train on, and held-out ones in the order in which they are used.

    Raises:
        SslAudioError: all tracks are held out, or none where a share is given.
    """
    share = chosen.share
    if share == "auto":
        share = AUTO_SHARE if len(tracks) >= AUTO_MIN_TRACKS else 0.0
    training, held_out = split_tracks(tracks, share, chosen.by)
    if share and not (training and held_out):
        what = "holds out none" if training else "holds out all"
        raise SslAudioError(
            f"validation.share={share:g} {what} of {len(tracks)} tracks by their {chosen.by}: "
            "choose another share or validation.by, or validation.share=0"
        )
    return training, held_out


def held_out_keys(
    dataset: PairDataset, batch_size: int, batches: int, rank: int, processes: int
) -> list[list[PairKey]]:
    """This process's parts of the batches of held-out pairs, the same ones every time.

    Args:
        dataset: of the held-out tracks.
        batch_size: pairs of a training batch over all processes; fewer if there are fewer tracks.
        batches: max number of batches.
        rank, processes: this process and their number.

    Raises:
        SslAudioError: too few tracks for a batch.
    """
    parts = dataset.pairs_per_track
    size = min(batch_size, _whole(len(dataset) * parts, parts, processes))
    if size < 2:
        raise SslAudioError(
            f"{len(dataset)} held-out tracks are too few for a batch: raise validation.share, or "
            "set validation.share=0"
        )
    keys = [PairKey(0, place // parts, 0, place % parts) for place in range(len(dataset) * parts)]
    share = size // processes
    first = [k * size + rank * share for k in range(min(batches, len(keys) // size))]
    return [keys[k : k + share] for k in first]


def _whole(pairs: int, parts: int, processes: int) -> int:
    """The largest number of pairs for a batch, at most `pairs`, that divides as it must."""
    sizes = (math.lcm(parts, processes, unit) for unit in (UNIT, 1))
    return next((pairs - pairs % size for size in sizes if pairs >= size), 0)


class Validation(Callback):
    """Logs the loss on held-out pairs every `every_n_steps` steps and after the last one.

    The pairs are read once and kept in memory. They are neither transformed nor do they change
    weights, statistics or random numbers: training is the same as without them.
    """

    def __init__(self, every_n_steps: int) -> None:
        self.every_n_steps = every_n_steps
        self._batches: list[Mapping[str, Any]] = []
        self._steps: list[int] = []
        self._terms: dict[str, list[float]] = {}

    @property
    def history(self) -> LossHistory | None:
        """The losses so far; None without held-out tracks."""
        if not self._steps:
            return None
        terms = {name: tuple(values) for name, values in self._terms.items()}
        return LossHistory(tuple(self._steps), terms)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read the pairs; a file that cannot be read is replaced by another with a warning."""
        self._batches = list(trainer.datamodule.held_out_batches())  # type: ignore[attr-defined]
        for failure in [line for batch in self._batches for line in batch["failures"]]:
            warn(failure)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        due = trainer.global_step % self.every_n_steps == 0 or is_last_step(trainer)
        if not self._batches or not due:
            return
        assert isinstance(pl_module, PretrainModule)
        measured = mean_losses(trainer, pl_module, self._batches)
        log_now(trainer, pl_module, {f"validation/{k}": v for k, v in measured.items()})
        self._steps.append(trainer.global_step)
        for name, value in measured.items():
            self._terms.setdefault(name, []).append(value)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": list(self._steps), "terms": {k: list(v) for k, v in self._terms.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._steps, self._terms = list(state_dict["steps"]), dict(state_dict["terms"])


def mean_losses(
    trainer: Trainer, module: PretrainModule, batches: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Mean over batches of the `loss` and of the objective's terms by name."""
    found: dict[str, list[Tensor]] = {}
    with trainer.precision_plugin.val_step_context():
        for batch in batches:
            output = module.evaluate(trainer.strategy.batch_to_device(batch))
            for name, value in {"loss": output.total, **output.terms}.items():
                found.setdefault(name, []).append(value.double())
    return {name: float(torch.stack(values).mean()) for name, values in found.items()}
