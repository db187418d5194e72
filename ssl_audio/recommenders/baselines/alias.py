"""The alias method: draws from a fixed discrete distribution in constant time."""

from __future__ import annotations

import numpy as np

from ssl_audio.io.compiled import compiled


def alias_table(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An alias table (Walker 1977; Vose 1991).

    Slot k, drawn uniformly, gives outcome k with probability `keep[k]`, else outcome `other[k]`.

    Args:
        weights: (outcomes,) 0 or more, one above 0; may be empty.

    Returns:
        keep (outcomes,) float64 in 0 to 1, and other (outcomes,) int32.
    """
    shares = weights * (len(weights) / max(weights.sum(dtype=np.float64), 1e-300))
    other = np.arange(len(weights), dtype=np.int32)
    _pair(shares, other, np.argsort(shares >= 1, kind="stable"), int((shares < 1).sum()))
    return shares, other


@compiled()
def _pair(shares: np.ndarray, other: np.ndarray, queue: np.ndarray, low: int) -> None:
    """Fill every slot with a share below 1 from one with more, in place.

    `queue` holds the `low` slots below 1 and then the others, which give in order; one that falls
    below 1 is filled next.
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
