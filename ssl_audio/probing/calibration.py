"""Calibration of predicted probabilities."""

from __future__ import annotations

import numpy as np

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.reports.results import Calibration, CalibrationBin


def calibration(targets: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> Calibration:
    """Expected calibration error and Brier score over all labelled cells (0 is best).

    Guo et al. 2017, "On calibration of modern neural networks", equation 5, with bins of equal
    width of the probability that a tag is present.

    Args:
        targets: (tracks, tags): 0, 1 or UNLABELLED.
        probabilities: (tracks, tags), 0 to 1.
        bins: number of bins; empty ones are left out.

    Raises:
        ValueError: a probability outside 0 to 1.
    """
    p, y = np.ravel(probabilities).astype(float), np.ravel(targets)
    p, y = p[y != UNLABELLED], y[y != UNLABELLED].astype(float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities must lie in 0 to 1")
    place = np.minimum((p * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    used = count > 0
    confidence = np.bincount(place, p, bins)[used] / count[used]
    frequency = np.bincount(place, y, bins)[used] / count[used]
    return Calibration(
        ece=float((np.abs(confidence - frequency) * count[used]).sum() / len(p)),
        brier=float(((p - y) ** 2).mean()),
        bins=tuple(
            CalibrationBin(float(c), float(f), int(n))
            for c, f, n in zip(confidence, frequency, count[used], strict=True)
        ),
    )
