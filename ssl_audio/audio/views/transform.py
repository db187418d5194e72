"""The interface of a transform, and what it may know of the batch: rows, random numbers, scale."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from ssl_audio.audio.logmel import LogMel
from ssl_audio.audio.random_streams import TRANSFORMS, generator
from ssl_audio.io.errors import SslAudioError

Stage = Literal["waveform", "logmel"]


@dataclass(frozen=True)
class Rows:
    """Which rows of the batch of all processes a tensor holds: view after view, tracks within.

    Attributes:
        tracks: of this process.
        views: of the tensor, counted from `first_view`.
        first_view: of the tensor's views; 0 is the anchor.
        all_views: of the whole batch, those of other lengths included.
        rank, world_size: this process has the rank-th of `world_size` equal parts of the tracks.
        gather: (views, tracks, ...) of this process to (views, tracks of all processes, ...).
    """

    tracks: int
    views: int = 2
    first_view: int = 0
    all_views: int = 2
    rank: int = 0
    world_size: int = 1
    gather: Callable[[Tensor], Tensor] = lambda x: x


class Context:
    """Random numbers for the rows of one tensor and one transform, and facts about the batch.

    Numbers are drawn for the batch of all processes and cut to the rows of this tensor: they are a
    function of (seed, step, place of the transform, row), whatever the number of processes.

    Args:
        seed: of the run, >= 0.
        step: batch of the run, from 0.
        place: of the transform in the list, from 0.
        waveforms: (rows, samples) that the log-mel is of; in the first stage, the crops.
        frontend: that of the encoder: sample rate, mean and standard deviation of its decibels.
    """

    def __init__(
        self, rows: Rows, seed: int, step: int, place: int, waveforms: Tensor, frontend: LogMel
    ) -> None:
        self.rows, self.waveforms, self.frontend = rows, waveforms, frontend
        self.device = waveforms.device
        self._rng = generator(seed, TRANSFORMS, step, place)

    def uniform(self, low: float = 0.0, high: float = 1.0, size: int | None = None) -> Tensor:
        """Numbers in [low, high): (rows,) float32, or (rows, size)."""
        rows = self.rows
        tracks = rows.tracks * rows.world_size
        shape = (rows.all_views, tracks, *(() if size is None else (size,)))
        drawn = torch.from_numpy(self._rng.random(shape, dtype=np.float32))  # below 1
        return (low + (high - low) * self._own(drawn)).to(self.device)

    def chosen(self, probability: float) -> Tensor:
        """(rows,) bool: True with the given probability."""
        return self.uniform() < probability

    def noise(self, size: int) -> Tensor:
        """(rows, size) of normal noise of variance 1, for this process's rows alone.

        Each row has a generator of its own on the device: the numbers of a CPU and of a GPU differ.
        """
        rows = self.rows
        seeds = self._rng.integers(2**63, size=(rows.all_views, rows.tracks * rows.world_size))
        own = self._own(torch.from_numpy(seeds)).tolist()
        noise = torch.empty(len(own), size, device=self.device)
        source = torch.Generator(self.device)
        for row, seed in zip(noise, own, strict=True):
            row.normal_(generator=source.manual_seed(seed))
        return noise

    def partners(self, x: Tensor) -> Tensor:
        """For each row of (rows, ...) the row of another track in the same view.

        The tracks of all processes are shifted in a circle by a random number of places.
        """
        rows = self.rows
        tracks = rows.tracks * rows.world_size
        shifts = self._rng.integers(1, max(2, tracks), size=rows.all_views).tolist()
        everyone = rows.gather(x.unflatten(0, (rows.views, rows.tracks)))
        first = rows.rank * rows.tracks
        shifted = [
            view.roll(shift, 0)[first : first + rows.tracks]
            for view, shift in zip(everyone, shifts[rows.first_view :], strict=False)
        ]
        return torch.cat(shifted)

    def _own(self, drawn: Tensor) -> Tensor:
        """(all views, tracks of all processes, ...) to the rows of this tensor."""
        rows = self.rows
        views = drawn[rows.first_view : rows.first_view + rows.views]
        first = rows.rank * rows.tracks
        return views[:, first : first + rows.tracks].flatten(0, 1)


class Transform(Protocol):
    """A batched random change of views on the device of training.

    Attributes:
        stage: "waveform": of (rows, samples), -1 to 1; "logmel": of (rows, n_mels, frames),
            decibels less the front end's mean, divided by its standard deviation.
    """

    stage: Stage

    def __call__(self, x: Tensor, context: Context) -> Tensor:
        """The changed rows, of the same shape; `x` is not written to."""


Interval = float | Sequence[float]


def interval(
    name: str, given: Interval, min: float = -math.inf, max: float = math.inf
) -> tuple[float, float]:
    """The range that a parameter is drawn from: [low, high]; a number is the only value.

    Raises:
        SslAudioError: not a number or two, or out of range.
    """
    try:
        pair = [float(x) for x in ([given, given] if isinstance(given, int | float) else given)]
    except (TypeError, ValueError):
        pair = []
    if len(pair) != 2 or not min <= pair[0] <= pair[1] <= max:
        limits = f" between {min:g} and {max:g}" if math.isfinite(min) else ""
        raise SslAudioError(f"{name}={given}: expected [LOW, HIGH]{limits}")
    return pair[0], pair[1]


def change(name: str, given: Interval, max: float = math.inf) -> tuple[float, float]:
    """The range of a change in either direction: [low, high]; a number is [-number, number].

    Raises:
        SslAudioError: not a number or two, or above `max` in size.
    """
    if isinstance(given, int | float):
        given = [-abs(given), abs(given)]
    return interval(name, given, -max, max)


def probability(given: float) -> float:
    """A probability.

    Raises:
        SslAudioError: not in [0, 1].
    """
    if not 0 <= given <= 1:
        raise SslAudioError(f"p={given}: a probability, 0 to 1")
    return float(given)
