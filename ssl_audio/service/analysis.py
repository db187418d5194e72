"""What can be said of an audio file: its embedding, tags, acoustic features and descriptors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.audio import SAMPLE_RATE, isolated
from ssl_audio.catalogue.acoustic_model import AcousticModel
from ssl_audio.catalogue.tagging import Tagger
from ssl_audio.io.errors import AudioError
from ssl_audio.models.embedder import Embedder
from ssl_audio.models.encoder import Encoder
from ssl_audio.models.runtime import for_embedding
from ssl_audio.service.batching import BatchedNetwork
from ssl_audio.service.schemas import Tag


@dataclass(frozen=True)
class Limits:
    """Of decoding one file."""

    seconds: float  # of audio
    time: float  # seconds that decoding may take

    def blocks(self, path: Path, sample_rate: int = SAMPLE_RATE) -> Limited:
        """A file as mono in blocks, decoded in another process."""
        return Limited(path, sample_rate, self)


class Limited:
    """The blocks of a file, within limits.

    Attributes:
        samples: given so far.
        note: after the last block, what of the file could not be decoded, or that it is silent.
    """

    def __init__(self, path: Path, sample_rate: int, limits: Limits) -> None:
        self.samples, self.note = 0, ""
        self._path, self._rate, self._limits = path, sample_rate, limits

    def __iter__(self) -> Iterator[np.ndarray]:
        """(samples,) float32 each.

        Raises:
            AudioError: it cannot be decoded, or not within the limits.
        """
        stream = isolated.Stream(self._path, self._rate, self._limits.time)
        blocks, taken = iter(stream), 0.0
        while True:
            started = time.monotonic()
            block = next(blocks, None)
            taken += time.monotonic() - started
            if block is None:
                self.note = stream.note
                return
            self.samples += len(block)
            if self.samples > self._limits.seconds * self._rate:
                raise AudioError(self._path, "too long", f"more than {self._limits.seconds:g} s")
            if taken > self._limits.time:
                limit = f"more than {self._limits.time:g} s of decoding"
                raise AudioError(self._path, "too slow", limit)
            yield block


@dataclass(frozen=True)
class EmbeddedFile:
    """One file, embedded."""

    seconds: float
    note: str
    vector: np.ndarray  # (dimensions,)
    blocks: list[np.ndarray] | None  # the waveform, if it was kept


class FileEmbedder:
    """An encoder that many threads may use, whose network runs on batches of their segments.

    `observe` is called with the number of segments of each batch.
    """

    def __init__(
        self, encoder: Encoder, hop: float | None, limits: Limits, observe: Callable[[int], None]
    ) -> None:
        single = for_embedding(encoder, runtime="torch")
        network = BatchedNetwork(single.network, observe)
        self._embedder = Embedder(single.frontend, network, single.segment)
        self._hop, self._limits = hop, limits

    def embed(self, path: Path, keep: bool = False) -> EmbeddedFile:
        """Embed a file, and keep its waveform if asked to.

        Raises:
            AudioError: see `Limited`.
        """
        source = self._limits.blocks(path, self._embedder.sample_rate)
        kept = list(source) if keep else None
        found = self._embedder.embed_blocks(source if kept is None else kept, self._hop)
        seconds = source.samples / self._embedder.sample_rate
        return EmbeddedFile(seconds, source.note, found.track, kept)


def tags_of(tagger: Tagger, vector: np.ndarray) -> list[Tag]:
    """All tags of an embedding (dimensions,), the most probable first."""
    probabilities = tagger.predict_proba(vector[None])
    present = tagger.decide(probabilities)[0]
    tags = [
        Tag(name=name, probability=float(probability), present=bool(there))
        for name, probability, there in zip(tagger.tags_, probabilities[0], present, strict=True)
    ]
    return sorted(tags, key=lambda tag: -tag.probability)


@dataclass(frozen=True)
class Acoustic:
    """The acoustic features of the tracks, and the model of those of new ones."""

    values: np.ndarray  # (tracks, 8)
    present: np.ndarray  # (tracks,) bool
    names: list[str]
    model: AcousticModel | None

    def of_track(self, row: int) -> dict[str, float] | None:
        """By name, 0 to 1; None if the store has none of this track."""
        return self.named(self.values[row]) if self.present[row] else None

    def named(self, values: np.ndarray) -> dict[str, float]:
        """(8,) features by their names."""
        return {name: float(value) for name, value in zip(self.names, values, strict=True)}


def feature_names(about: dict[str, Any], count: int) -> list[str]:
    """The names of the features of a store, or numbers."""
    names = about.get("names") or [f"acoustic_{k}" for k in range(count)]
    return [str(name) for name in names]
