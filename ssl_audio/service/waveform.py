"""The shape of a recording, as players draw it."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import numpy as np

from ssl_audio.audio import SAMPLE_RATE

MAX_POINTS = 4000
_PART = 320  # samples of a part that is kept
PART_SECONDS = _PART / SAMPLE_RATE  # 0.02
_CACHED = 256  # recordings


def part_peaks(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """(parts,) float32, the largest absolute value of every 320 samples of a waveform."""
    peaks, rest = [], np.zeros(0, np.float32)
    for block in blocks:
        samples = np.abs(np.concatenate([rest, block]))
        whole = len(samples) // _PART * _PART
        peaks.append(samples[:whole].reshape(-1, _PART).max(1))
        rest = samples[whole:]
    if len(rest):
        peaks.append(rest.max(keepdims=True))
    return np.concatenate(peaks) if peaks else rest


def reduced(peaks: np.ndarray, points: int) -> list[float]:
    """The largest value of each of so many parts, 0 to 1; fewer where there are fewer peaks."""
    points = min(points, len(peaks))
    if not points:
        return []
    starts = np.arange(points) * len(peaks) // points
    highest = np.clip(np.maximum.reduceat(peaks, starts), 0, 1)
    return [round(float(value), 4) for value in highest]


class PeakCache:
    """Peaks of the recordings that were asked for last."""

    def __init__(self) -> None:
        self._found: OrderedDict[Any, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any) -> np.ndarray | None:
        """The peaks of a file's version; None if they are not kept."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def put(self, key: Any, peaks: np.ndarray) -> None:
        """Keep peaks, in place of those that were used longest ago."""
        with self._lock:
            self._found[key] = peaks
            while len(self._found) > _CACHED:
                self._found.popitem(last=False)
