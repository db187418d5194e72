"""An encoder trained on labels end to end: from a checkpoint (fine-tuning) or from nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ssl_audio.audio import SAMPLE_RATE, decode
from ssl_audio.audio.pairs import PairBatchSampler, PairKey
from ssl_audio.datasets.dataset import Split, TaggingDataset
from ssl_audio.io.console import quieten_lightning
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.models.encoder import Encoder
from ssl_audio.models.weight_decay import parameter_groups

CENTRE = -1  # the pass whose crops lie in the middle of their tracks: validation's


@dataclass(frozen=True)
class FinetuneSettings:
    """How an encoder is trained on labels.

    Attributes:
        epochs: of `steps` batches each; the best by validation loss is kept.
        steps: batches an epoch.
        batch_size: crops of one segment, each of another track.
        encoder_rate, head_rate: AdamW's learning rates.
        weight_decay: of matrices and kernels.
        seed: of crops, order and head.
        workers: decoding processes.
    """

    epochs: int = 10
    steps: int = 50
    batch_size: int = 32
    encoder_rate: float = 1e-4
    head_rate: float = 1e-3
    weight_decay: float = 0.05
    seed: int = 0
    workers: int = 1


@dataclass(frozen=True)
class Finetuned:
    """An encoder and its head.

    Attributes:
        encoder: trained, in evaluation mode.
        head: embedding to logits of the tags.
        validation: loss after each epoch.
        best_epoch: the one that is kept, from 0.
    """

    encoder: Encoder
    head: nn.Linear
    validation: list[float]
    best_epoch: int

    @torch.inference_mode()
    def scores(self, embeddings: np.ndarray) -> np.ndarray:
        """Logits of tracks: (tracks, dimensions) means to (tracks, tags).

        The head is linear: the logits of the mean are the mean of the segments' logits.
        """
        return self.head(torch.from_numpy(embeddings)).numpy()


def finetune(
    encoder: Encoder, dataset: TaggingDataset, settings: FinetuneSettings, folder: Path
) -> Finetuned:
    """Train an encoder and a linear head on the tags of single segments.

    Args:
        encoder: to start from; it is left as it is.
        dataset: trained on its training split, judged on its validation split.
        settings: see there.
        folder: for Lightning's logs.

    Raises:
        SslAudioError: fewer training tracks than a batch takes, or a loss that is not finite.
    """
    quieten_lightning()
    torch.manual_seed(settings.seed)
    module = _TaggingModule(copy.deepcopy(encoder).train(), len(dataset.tags), settings)
    train = _loader(dataset.train, encoder.segment, settings, training=True)
    validation = _loader(dataset.validation, encoder.segment, settings, training=False)
    trainer = lightning.Trainer(
        default_root_dir=folder,
        max_epochs=settings.epochs,
        limit_train_batches=settings.steps,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        devices=1,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, train, validation)
    return module.best()


class _TaggingModule(lightning.LightningModule):
    """Binary cross-entropy of each tag, on single segments."""

    def __init__(self, encoder: Encoder, tags: int, settings: FinetuneSettings) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.embedding_size, tags)
        self.settings = settings
        self.validation: list[float] = []
        self._kept: dict[str, Tensor] = {}
        self._sum = self._count = 0.0

    def _loss(self, batch: dict[str, Tensor]) -> Tensor:
        logits = self.head(self.encoder(batch["waveform"]))
        each = F.binary_cross_entropy_with_logits(logits, batch["target"], reduction="none")
        readable = batch["readable"][:, None]
        return (each * readable).sum() / (readable.sum() * each.shape[1]).clamp_min(1)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        loss = self._loss(batch)
        if not torch.isfinite(loss):
            raise SslAudioError(
                f"the loss is {float(loss)} at step {self.global_step}: lower finetune.encoder_rate"
            )
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        self._sum = self._count = 0.0

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        count = float(batch["readable"].sum())
        self._sum += float(self._loss(batch)) * count
        self._count += count

    def on_validation_epoch_end(self) -> None:
        self.validation.append(self._sum / max(self._count, 1.0))
        if self.validation[-1] <= min(self.validation):
            self._kept = {k: v.detach().cpu().clone() for k, v in self.state_dict().items()}

    def configure_optimizers(self) -> Any:
        s = self.settings
        groups = [
            *_groups(self.encoder, s.encoder_rate, s.weight_decay),
            *_groups(self.head, s.head_rate, s.weight_decay),
        ]
        optimizer = torch.optim.AdamW(groups)
        rates = [group["lr"] for group in groups]
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rates, total_steps=s.epochs * s.steps, pct_start=0.1
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def best(self) -> Finetuned:
        self.load_state_dict(self._kept)
        best = int(np.argmin(self.validation))
        return Finetuned(self.encoder.cpu().eval(), self.head.cpu(), self.validation, best)


def _groups(module: nn.Module, rate: float, decay: float) -> list[dict[str, Any]]:
    return [{**group, "lr": rate} for group in parameter_groups(module.parameters(), decay)]


class _Crops(Dataset[dict[str, Any]]):
    """One segment of a track with the track's tags, by (pass, track)."""

    def __init__(self, split: Split, segment: float, seed: int) -> None:
        self.split, self.segment, self.seed = split, segment, seed

    def __getitem__(self, key: PairKey) -> dict[str, Any]:
        samples = round(self.segment * SAMPLE_RATE)
        waveform = np.zeros(samples, np.float32)
        try:
            found = self._read(key)
            waveform[: len(found)] = found[:samples]
            readable = 1.0
        except AudioError:
            readable = 0.0  # it weighs nothing; the features' report names the file
        target = self.split.targets[key.index].astype(np.float32)
        return {"waveform": waveform, "target": target, "readable": np.float32(readable)}

    def _read(self, key: PairKey) -> np.ndarray:
        path = self.split.paths[key.index]
        room = decode.info(path).duration - self.segment
        if room <= 0:
            return decode.read(path)
        if key.epoch == CENTRE:
            return decode.read(path, room / 2, self.segment)
        rng = np.random.default_rng([self.seed, key.epoch, key.index])
        return decode.read(path, rng.uniform(0, room), self.segment)


class _InOrder:
    """Every track once, in order."""

    def __init__(self, tracks: int, batch_size: int) -> None:
        self.tracks, self.batch_size = tracks, batch_size

    def __iter__(self) -> Iterable[list[PairKey]]:  # type: ignore[misc]
        for first in range(0, self.tracks, self.batch_size):
            last = min(first + self.batch_size, self.tracks)
            yield [PairKey(CENTRE, index) for index in range(first, last)]

    def __len__(self) -> int:
        return -(-self.tracks // self.batch_size)


def _loader(
    split: Split, segment: float, settings: FinetuneSettings, training: bool
) -> DataLoader[dict[str, Any]]:
    size = settings.batch_size
    steps = settings.epochs * settings.steps
    sampler: Any = (
        _EpochsOf(PairBatchSampler(len(split.ids), size, steps, settings.seed), settings.steps)
        if training
        else _InOrder(len(split.ids), size)
    )
    return DataLoader(
        _Crops(split, segment, settings.seed),
        batch_sampler=sampler,
        num_workers=settings.workers,
        persistent_workers=training and settings.workers > 0,
    )


class _EpochsOf:
    """A run's batches, handed out by epochs of so many steps."""

    def __init__(self, batches: PairBatchSampler, steps: int) -> None:
        self.batches, self.steps = batches, steps
        self._next = 0

    def __iter__(self) -> Any:
        # moved on at once: whoever knows the length need not exhaust the batches
        first, self._next = self._next, self._next + self.steps
        for step in range(first, first + self.steps):
            yield self.batches.batch(step)

    def __len__(self) -> int:
        return self.steps
