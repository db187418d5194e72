"""Encoders trained on the tags: fine-tuned from a checkpoint, or from random weights."""

from __future__ import annotations

import copy
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
from ssl_audio.probing.encoders import PackageEncoder
from ssl_audio.settings.probe import FinetuneSettings

CENTRE = -1  # the pass over the tracks whose segments lie in their middle, for validation


class TaggingEncoder(PackageEncoder):
    """An encoder that was trained on the tags, with its linear head."""

    def __init__(
        self, name: str, kind: str, source: str, encoder: Encoder, head: nn.Linear,
        hop: float | None,
    ) -> None:  # fmt: skip
        super().__init__(name, kind, source, encoder, hop)
        self.head = head

    @torch.inference_mode()
    def scores(self, means: np.ndarray) -> np.ndarray:
        """Logits: (tracks, dimensions) mean embeddings to (tracks, tags).

        The head is linear: the logits of a mean are the mean of the segments' logits.
        """
        return self.head(torch.from_numpy(means)).numpy()


def finetune(
    name: str,
    kind: str,
    encoder: Encoder,
    dataset: TaggingDataset,
    settings: FinetuneSettings,
    seed: int,
    hop: float | None,
    folder: Path,
) -> TaggingEncoder:
    """Train an encoder and a linear head on the tags of single segments.

    Args:
        name, kind, hop: of the result.
        encoder: initial weights; left as it is.
        dataset: its training split is trained on; its validation split chooses the epoch.
        settings: of the training.
        seed: of segments, order and head.
        folder: for Lightning's files.

    Raises:
        SslAudioError: fewer training tracks than a batch, or a loss that is not finite.
    """
    tracks, size = len(dataset.train.ids), settings.batch_size
    if tracks < size:
        raise SslAudioError(f"finetune.batch_size={size}: {tracks} or less, the training tracks")
    quieten_lightning()
    torch.manual_seed(seed)
    module = _TaggingModule(copy.deepcopy(encoder).train(), len(dataset.tags), settings)
    batches = PairBatchSampler(tracks, size, settings.epochs * settings.steps, seed)
    centres = [PairKey(CENTRE, index) for index in range(len(dataset.validation.ids))]
    trainer = lightning.Trainer(
        default_root_dir=folder,
        max_epochs=1,
        val_check_interval=settings.steps,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        devices=1,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
    )
    trainer.fit(
        module,
        DataLoader(
            _Segments(dataset.train, encoder.segment, seed), batch_sampler=batches,
            num_workers=settings.workers,
        ),
        DataLoader(
            _Segments(dataset.validation, encoder.segment, seed),
            batch_sampler=[centres[k : k + size] for k in range(0, len(centres), size)],
            num_workers=settings.workers,
        ),
    )  # fmt: skip
    module.load_state_dict(module.best)
    source = f"epoch {int(np.argmin(module.losses)) + 1}"
    return TaggingEncoder(name, kind, source, module.encoder.cpu().eval(), module.head.cpu(), hop)


class _TaggingModule(lightning.LightningModule):
    """Binary cross-entropy of each tag, on single segments.

    Attributes:
        losses: validation loss of each epoch.
        best: weights of the best epoch so far.
    """

    def __init__(self, encoder: Encoder, tags: int, settings: FinetuneSettings) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.embedding_size, tags)
        self.settings = settings
        self.losses: list[float] = []
        self.best: dict[str, Tensor] = {}
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
        self.losses.append(self._sum / max(self._count, 1.0))
        if self.losses[-1] <= min(self.losses):
            self.best = {k: v.detach().cpu().clone() for k, v in self.state_dict().items()}

    def configure_optimizers(self) -> Any:
        s = self.settings
        groups = [
            {**group, "lr": rate}
            for part, rate in ((self.encoder, s.encoder_rate), (self.head, s.head_rate))
            for group in parameter_groups(part.parameters(), s.weight_decay)
        ]
        optimizer = torch.optim.AdamW(groups)
        rates = [group["lr"] for group in groups]
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rates, total_steps=s.epochs * s.steps, pct_start=0.1
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Segments(Dataset[dict[str, Any]]):
    """One segment of a track with the track's tags, by (pass over the tracks, track)."""

    def __init__(self, split: Split, segment: float, seed: int) -> None:
        self.split, self.segment, self.seed = split, segment, seed

    def __getitem__(self, key: PairKey) -> dict[str, Any]:
        waveform = np.zeros(round(self.segment * SAMPLE_RATE), np.float32)
        try:
            found = self._read(key)
            waveform[: len(found)] = found[: len(waveform)]
            readable = 1.0
        except AudioError:
            readable = 0.0  # weight in the loss; the file is named when its features are computed
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
