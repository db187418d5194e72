"""Drawing from a fixed distribution in two look-ups: the alias method."""

from __future__ import annotations

import numpy as np
from numba import njit


def alias_table(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table from which an outcome is drawn in two look-ups (Walker 1977; Vose 1991).

    Slot k, drawn uniformly, is outcome k with chance `keep[k]` and outcome `other[k]` otherwise.

    Args:
        weights: (outcomes,) 0 or more, one above 0; or no outcome at all.

    Returns:
        keep (outcomes,) float64, 0 to 1, and other (outcomes,) int32.
    """
    shares = weights * (len(weights) / max(weights.sum(dtype=np.float64), 1e-300))
    other = np.arange(len(weights), dtype=np.int32)
    _pair(shares, other, np.argsort(shares >= 1, kind="stable"), int((shares < 1).sum()))
    return shares, other


@njit(nogil=True)
def _pair(shares: np.ndarray, other: np.ndarray, queue: np.ndarray, low: int) -> None:
    """Fill every slot that is short of 1 from one that has more, in place.

    `queue` holds the short slots, `low` of them, and then the rest. The rest is used up from
    where they start; one that has become short is the next to be filled.
    """
    giver = low
    for first in range(low):
        short = queue[first]
        while giver < len(queue):
            rich = queue[giver]
            other[short] = rich
            shares[rich] -= 1 - shares[short]
            if shares[rich] >= 1:
                break
            giver += 1
            short = rich
    for number in range(giver, len(queue)):
        shares[queue[number]] = 1


@njit(nogil=True)
def drawn_slot(keep: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> int:
    place = rng.random() * len(keep)
    slot = int(place)
    return slot if place - slot < keep[slot] else other[slot]
