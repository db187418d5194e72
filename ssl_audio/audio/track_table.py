"""The tracks that pairs are cut from, in a few arrays."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class HasDuration(Protocol):
    """A track: `ssl_audio.audio.scan.Track`, or anything with its path and duration."""

    @property
    def path(self) -> str: ...

    @property
    def duration(self) -> float: ...


@dataclass(frozen=True)
class PairTrack:
    """A track of the dataset: its path, and its duration in seconds."""

    path: str
    duration: float


class TrackTable(Sequence[PairTrack]):
    """Tracks in three arrays.

    A million `Track` objects take hundreds of megabytes, are pickled one by one into every spawned
    worker, and have their pages copied into every forked one as reference counts change. Three
    arrays do neither.
    """

    def __init__(self, tracks: Iterable[HasDuration]) -> None:
        listed = list(tracks)
        names = [os.fsencode(track.path) for track in listed]
        self.durations = np.array([track.duration for track in listed], dtype=np.float64)
        self._ends = np.cumsum([len(name) for name in names], dtype=np.int64)
        self._names = np.frombuffer(b"".join(names), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.durations)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]  # IndexError when outside, negative from the end
        start = int(self._ends[index - 1]) if index else 0
        name = self._names[start : int(self._ends[index])].tobytes()
        return PairTrack(os.fsdecode(name), float(self.durations[index]))
