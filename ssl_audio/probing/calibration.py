"""Whether a probe's probabilities can be believed."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 15


def calibration(targets: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> dict[str, Any]:
    """Expected calibration error and Brier score over all tracks and tags.

    Guo et al. 2017, "On calibration of modern neural networks", equation 5, with bins of equal
    width on the probability that a tag is present.

    Args:
        targets: (rows, tags), 0 or 1.
        probabilities: (rows, tags), 0 to 1.
        bins: of equal width.

    Returns:
        `ece` and `brier` (0 is best), and `bins`: mean `confidence`, `frequency` of the tag and
        `count` of each bin that is not empty.

    Raises:
        ValueError: a probability outside 0 to 1.
    """
    p, y = np.ravel(probabilities).astype(float), np.ravel(targets).astype(float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must lie in 0 to 1")
    place = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    used = count > 0
    confidence = np.bincount(place, p, bins)[used] / count[used]
    frequency = np.bincount(place, y, bins)[used] / count[used]
    gap = np.abs(confidence - frequency)
    return {
        "ece": float((gap * count[used]).sum() / len(p)),
        "brier": float(((p - y) ** 2).mean()),
        "bins": [
            {"confidence": float(c), "frequency": float(f), "count": int(n)}
            for c, f, n in zip(confidence, frequency, count[used], strict=True)
        ],
    }
