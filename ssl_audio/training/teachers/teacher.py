"""A frozen teacher: a network that gives an output for each window of a track."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_audio.audio.scan import Track
from ssl_audio.models.embedder import segments
from ssl_audio.probing.encoders import digest
from ssl_audio.probing.features import track_features
from ssl_audio.training.targets import Targets

BATCH = 16  # windows computed at a time


class Network(Protocol):
    """What a kind of teacher implements.

    Attributes:
        key: hash of everything that determines its outputs, which are cached by it.
        sample_rate: of the waveforms that it takes, Hz.
    """

    key: str
    sample_rate: int

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) on the CPU to (batch, dimensions); several threads call this at once."""


class Teacher:
    """The outputs of a network for the windows of tracks; a `TrackEncoder`, so they are cached.

    Windows start every `hop` seconds, and the last one ends with the track. A track shorter than a
    window is one, padded with silence.

    Args:
        name: in messages.
        network: of the teacher.
        window, hop: seconds.
    """

    kind = "teacher"

    def __init__(self, name: str, network: Network, window: float, hop: float) -> None:
        self.name = self.source = name
        self.window, self.hop, self.sample_rate = window, hop, network.sample_rate
        self.key = digest("teacher", network.key, window, hop)
        self._network = network

    @torch.inference_mode()
    def features(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """(windows, dimensions) float32 of a track given in blocks, at `sample_rate`."""
        length, step = round(self.window * self.sample_rate), round(self.hop * self.sample_rate)
        parts = (part for _, part in segments(blocks, length, step))
        rows = [self._network(batch).float().cpu() for batch in _batches(parts, length)]
        return torch.cat(rows).numpy()

    @cached_property
    def size(self) -> int:
        """Dimensions of the output."""
        return self.features([np.zeros(round(self.window * self.sample_rate), np.float32)]).shape[1]

    def targets(
        self, tracks: Sequence[Track], cache: Path | None, trained: int | None = None
    ) -> Targets:
        """The targets of a run's tracks, computed as far as they are not cached.

        Args:
            tracks: of the run, as `index` in its batches refers to them.
            cache: folder of cached outputs; None is the user's cache.
            trained: the first so many are trained on, and the others held out; None: all.

        Raises:
            SslAudioError: no track can be read, or the cache cannot be written.
        """
        paths = [track.path for track in tracks]
        found = track_features(self, paths, list(map(Path, paths)), keep_segments=True, cache=cache)
        assert found.segments is not None and found.starts is not None and found.ends is not None
        centres = np.empty(len(found.segments))
        for first, last, track in zip(found.starts, found.ends, tracks, strict=True):
            centres[first:last] = self._centres(last - first, track.duration)
        return Targets(found.segments, centres, found.starts, found.ends, trained)

    def _centres(self, windows: int, duration: float) -> NDArray[np.float64]:
        """(windows,) middle of each window of a track, seconds.

        Args:
            windows: their number.
            duration: of the track, seconds.
        """
        starts = np.arange(windows) * self.hop
        return np.minimum(starts, max(0.0, duration - self.window)) + self.window / 2


def _batches(parts: Iterator[np.ndarray], length: int) -> Iterator[Tensor]:
    while batch := list(islice(parts, BATCH)):
        yield torch.from_numpy(np.stack([np.pad(part, (0, length - len(part))) for part in batch]))
