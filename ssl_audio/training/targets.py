"""What a frozen teacher says about any place of a track, for distillation.

A teacher is computed once, for windows on a grid, and cached. The target of a crop is interpolated
in time between the two windows whose middles lie around its own, so that crops may start anywhere.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROWS = 8192  # read at a time for the statistics


class Targets:
    """Outputs of a teacher, each dimension with mean 0 and variance 1 over the training windows.

    Args:
        rows: (windows, dimensions) of all tracks, in memory or mapped from disk.
        centres: (windows,) middle of each window in its track, seconds.
        first, last: (tracks,) rows of a track; equal where there are none.
        trained: the first so many tracks are trained on, and the others held out; None: all.

    Attributes:
        size: dimensions.
    """

    def __init__(
        self, rows: NDArray[np.floating], centres: NDArray[np.float64],
        first: NDArray[np.int64], last: NDArray[np.int64], trained: int | None = None,
    ) -> None:  # fmt: skip
        self._rows, self._centres, self._first, self._last = rows, centres, first, last
        self.size = rows.shape[1]
        spans = zip(first[:trained], last[:trained], strict=True)
        places = np.concatenate([np.arange(*span) for span in spans])
        self._mean, self._deviation = _statistics(rows, places)

    def at(self, tracks: Tensor, centres: Tensor) -> Tensor:
        """The targets of crops.

        Args:
            tracks: (N,) numbers of tracks.
            centres: (V, N) middle of each crop, seconds; before the first and after the last window
                of a track, their outputs are the target.

        Returns:
            (V, N, size) float32; NaN for tracks that the teacher could not read.
        """
        found = np.full((*centres.shape, self.size), np.nan, np.float32)
        for place, track in enumerate(tracks.tolist()):
            span = slice(self._first[track], self._last[track])
            if span.start < span.stop:
                rows = self._interpolated(span, centres[:, place].numpy())
                found[:, place] = (rows - self._mean) / self._deviation
        return torch.from_numpy(found)

    def _interpolated(self, span: slice, centres: NDArray[np.float64]) -> NDArray[np.float64]:
        times = self._centres[span]
        place = np.interp(centres, times, np.arange(span.start, span.stop))
        before = np.minimum(place.astype(np.int64), span.stop - 1)
        after = np.minimum(before + 1, span.stop - 1)
        share = (place - before)[:, None]
        return (1 - share) * self._rows[before] + share * self._rows[after]


def _statistics(
    rows: NDArray[np.floating], places: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each dimension over some rows; a deviation of 0 is replaced by 1."""
    parts = [places[first : first + ROWS] for first in range(0, len(places), ROWS)]
    mean = np.zeros(rows.shape[1])
    for part in parts:
        mean += rows[part].sum(0, dtype=np.float64) / len(places)
    variance = np.zeros(rows.shape[1])
    for part in parts:
        variance += np.square(rows[part] - mean).sum(0) / len(places)
    return mean, np.where(variance > 1e-12 * (1 + mean**2), np.sqrt(variance), 1.0)
