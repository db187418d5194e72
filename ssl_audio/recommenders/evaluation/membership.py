"""Which tracks a playlist has: sets of (playlist, track) pairs as sorted arrays of numbers."""

from __future__ import annotations

import numpy as np

from ssl_audio.recommenders.data.pairs import first_mentions, pair_keys

__all__ = ["among", "first_mentions", "pair_keys"]


def among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """True for the values that are in a sorted, non-empty array."""
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return ordered[place] == values
