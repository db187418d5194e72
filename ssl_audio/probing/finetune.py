"""Encoders trained on the tags: fine-tuned from a checkpoint, or from random weights."""

import copy
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset

from ssl_audio.audio import decode
from ssl_audio.audio.batches import PairBatchSampler, PairKey
from ssl_audio.datasets.dataset import Split, TaggingDataset
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.io.progress import with_progress
from ssl_audio.models.encoder import Encoder
from ssl_audio.models.weight_decay import exempt_from_decay, parameter_groups
from ssl_audio.probing.encoders import PackageEncoder
from ssl_audio.probing.losses import tag_loss
from ssl_audio.settings.probe import FinetuneSettings

Batch = tuple[Tensor, Tensor, Tensor]  # waveforms, targets, and 1 for those that could be read
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
) -> TaggingEncoder:
    """Train an encoder and a linear head on the tags of single segments.

    Args:
        name, kind, hop: of the result.
        encoder: initial weights; left as it is.
        dataset: its training split is trained on; its validation split chooses the epoch.
        settings: of the training.
        seed: of segments, order and head.

    Raises:
        SslAudioError: fewer training tracks than a batch, or a loss that is not finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    tuned, head = copy.deepcopy(encoder), nn.Linear(encoder.embedding_size, len(dataset.tags))
    network = nn.Sequential(tuned, head).to(device)
    optimizer, schedule = _optimizer(network, settings)
    training, validation = _loaders(dataset, encoder, settings, seed)
    single_label = dataset.classes is not None
    losses, best = [], copy.deepcopy(network.state_dict())
    for step, batch in enumerate(with_progress(training, name, unit="steps"), 1):
        loss = _loss(network.train(), batch, device, single_label)
        if not torch.isfinite(loss):
            raise SslAudioError(f"the loss is {float(loss)} in step {step}: lower finetune.*_rate")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % settings.steps == 0:
            losses.append(_validation_loss(network.eval(), validation, device, single_label))
            if losses[-1] <= min(losses):
                best = copy.deepcopy(network.state_dict())
    network.load_state_dict(best)
    network.cpu().eval()
    source = f"epoch {int(np.argmin(losses)) + 1}"
    return TaggingEncoder(name, kind, source, tuned, head, hop)


def _optimizer(network: nn.Sequential, settings: FinetuneSettings) -> tuple[AdamW, OneCycleLR]:
    groups = [
        {**group, "lr": rate}
        for part, rate in zip(network, (settings.encoder_rate, settings.head_rate), strict=True)
        for group in parameter_groups(
            part.parameters(), settings.weight_decay, exempt_from_decay(part)
        )
    ]
    optimizer = AdamW(groups)
    rates = [group["lr"] for group in groups]
    steps = settings.epochs * settings.steps
    return optimizer, OneCycleLR(optimizer, rates, total_steps=steps, pct_start=0.1)


def _loaders(
    dataset: TaggingDataset, encoder: Encoder, settings: FinetuneSettings, seed: int
) -> tuple[DataLoader[Batch], DataLoader[Batch]]:
    """All batches of the training, and those of one validation."""
    tracks, size = len(dataset.train.ids), settings.batch_size
    if tracks < size:
        raise SslAudioError(f"finetune.batch_size={size}: {tracks} or less, the training tracks")
    training = PairBatchSampler(tracks, size, settings.epochs * settings.steps, seed)
    centres = [PairKey(CENTRE, index) for index in range(len(dataset.validation.ids))]
    validation = [centres[k : k + size] for k in range(0, len(centres), size)]
    return tuple(
        DataLoader(
            _Segments(split, encoder.segment, encoder.sample_rate, seed),
            batch_sampler=batches,
            num_workers=settings.workers,
        )  # fmt: skip
        for split, batches in ((dataset.train, training), (dataset.validation, validation))
    )  # type: ignore[return-value]


def _loss(network: nn.Module, batch: Batch, device: torch.device, single_label: bool) -> Tensor:
    """Mean loss of the tags of the segments that could be read."""
    waveform, target, readable = (part.to(device) for part in batch)
    return tag_loss(network(waveform), target, readable, single_label)


@torch.no_grad()
def _validation_loss(
    network: nn.Module, batches: Iterable[Batch], device: torch.device, single_label: bool
) -> float:
    total = count = 0.0
    for batch in batches:
        readable = float(batch[2].sum())
        total += float(_loss(network, batch, device, single_label)) * readable
        count += readable
    return total / max(count, 1.0)


class _Segments(Dataset[Batch]):
    """One segment of a track, its tags, and 1 if it could be read, by (pass, track)."""

    def __init__(self, split: Split, segment: float, sample_rate: int, seed: int) -> None:
        self.split, self.segment, self.sample_rate, self.seed = split, segment, sample_rate, seed

    def __getitem__(self, key: PairKey) -> Batch:
        samples = round(self.segment * self.sample_rate)
        waveform, readable = torch.zeros(samples), torch.ones(())
        try:
            found = torch.from_numpy(self._read(key))[: len(waveform)]
            waveform[: len(found)] = found
        except AudioError:
            readable = torch.zeros(())  # the file is named when its features are computed
        target = torch.from_numpy(self.split.targets[key.index].astype(np.float32))
        return waveform, target, readable

    def _read(self, key: PairKey) -> np.ndarray:
        path = self.split.paths[key.index]
        room = decode.info(path).duration - self.segment
        if room <= 0:
            return decode.read(path, sample_rate=self.sample_rate)
        if key.epoch == CENTRE:
            return decode.read(path, room / 2, self.segment, self.sample_rate)
        rng = np.random.default_rng([self.seed, key.epoch, key.index])
        return decode.read(path, rng.uniform(0, room), self.segment, self.sample_rate)
