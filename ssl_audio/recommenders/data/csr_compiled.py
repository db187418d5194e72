"""Search in compressed rows, for other compiled loops."""

from __future__ import annotations

import numpy as np

from ssl_audio.io.compiled import compiled


@compiled()
def find_sorted(values: np.ndarray, first: int, end: int, value: int) -> int:
    """The position of a value in `values[first:end]`, which is ascending; -1 if absent."""
    low, high = first, end
    while low < high:
        middle = (low + high) // 2
        if values[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low if low < end and values[low] == value else -1
