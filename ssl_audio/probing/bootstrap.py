"""Error bars: figures on random halves of the test set, and differences that are paired on them.

Section 3.2 of the multi-view comparison: 50 % of the test set, drawn without replacement, 50 times.
A tag with no positive or no negative in a resample counts in no mean of that resample, and a
resample without any other tag in no mean at all; `undefined` says how often a tag did not count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ssl_audio.probing.metrics import resampled_figures

METRICS = ("roc_auc", "map")


@dataclass(frozen=True)
class Bootstrap:
    """Figures of one system on the resamples.

    Attributes:
        roc_auc, map: (resamples, tags), NaN where a tag is undefined.
        fraction: of the test set in each resample.
    """

    roc_auc: np.ndarray
    map: np.ndarray
    fraction: float

    def macro(self, metric: str) -> np.ndarray:
        """(resamples,) means over the tags that are defined in each."""
        return _nan_mean(getattr(self, metric), axis=1)

    def by_tag(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """(tags,) mean and (tags,) standard deviation over the resamples."""
        values = getattr(self, metric)
        centre = _nan_mean(values, axis=0)
        return centre, np.sqrt(_nan_mean((values - centre) ** 2, axis=0))

    def summary(self, metric: str) -> tuple[float, float]:
        """Mean and standard deviation of the macro figure over the resamples that have one."""
        return _mean_and_deviation(self.macro(metric))

    @property
    def undefined(self) -> int:
        """How many of the (resample, tag) pairs have no figure."""
        return int(np.isnan(self.roc_auc).sum())


def bootstrap(
    targets: np.ndarray,
    scores: np.ndarray,
    resamples: int = 50,
    fraction: float = 0.5,
    seed: int = 0,
) -> Bootstrap:
    """Figures on random parts of the test set.

    The same seed and number of rows give the same parts, so that systems are paired.

    Args:
        targets: (rows, tags), 0 or 1.
        scores: (rows, tags).
        resamples: how many.
        fraction: of the rows in each, without replacement, 0 to 1.
        seed: of the drawing.

    Raises:
        ValueError: a fraction that leaves no row or all of them, or shapes that differ.
    """
    chosen = _draw(len(targets), resamples, fraction, seed)
    return Bootstrap(*resampled_figures(targets, scores, chosen), fraction=fraction)


def _draw(rows: int, resamples: int, fraction: float, seed: int) -> np.ndarray:
    count = round(rows * fraction)
    if not 0 < count < rows:
        raise ValueError(f"fraction={fraction} of {rows} rows are {count}")
    rng = np.random.default_rng(seed)
    chosen = np.zeros((resamples, rows), bool)
    for row in chosen:
        row[rng.permutation(rows)[:count]] = True
    return chosen


def paired_difference(
    a: Bootstrap, b: Bootstrap, metric: str, confidence: float = 0.95
) -> Mapping[str, float]:
    """How much better `a` is than `b`, on the same resamples, with a confidence interval.

    A part of m of n rows drawn without replacement varies less about the whole set's figure than a
    whole new set would: the variance of its mean is (1 / m - 1 / n) times a row's, where that of n
    new rows is 1 / n. The interval is therefore normal, about the mean difference, with the
    resamples' standard deviation times sqrt(fraction / (1 - fraction)) (Politis, Romano and Wolf
    1999, "Subsampling", section 2.3, with the finite population correction); at one half the
    factor is 1.

    Args:
        a, b: of the same targets, resamples and seed.
        metric: "roc_auc" or "map".
        confidence: of the interval, 0 to 1.

    Returns:
        `mean`, `low`, `high` of a - b.

    Raises:
        ValueError: the two are not of the same resamples.
    """
    if a.roc_auc.shape != b.roc_auc.shape or a.fraction != b.fraction:
        raise ValueError("the two are not of the same resamples")
    difference = a.macro(metric) - b.macro(metric)
    centre, deviation = _mean_and_deviation(difference)
    correction = math.sqrt(a.fraction / (1 - a.fraction))
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * deviation * correction
    return {"mean": centre, "low": centre - reach, "high": centre + reach}


def _mean_and_deviation(values: np.ndarray) -> tuple[float, float]:
    """Of those that are numbers; NaN where fewer than two are."""
    defined = values[~np.isnan(values)]
    if len(defined) < 2:
        return math.nan, math.nan
    return float(defined.mean()), float(defined.std(ddof=1))


def _nan_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """`np.nanmean` without its warning for what is all NaN."""
    defined = ~np.isnan(values)
    count = defined.sum(axis)
    total = np.where(defined, values, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
