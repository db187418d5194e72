"""Error bars: metrics on random halves of the test set, and paired differences of systems.

Section 3.2 of the multi-view comparison: 50 % of the test set, drawn without replacement, 50 times.
A tag without positives or without negatives in a resample is left out of that resample's mean, and
a resample without any other tag is left out altogether.

Tracks of one artist are alike, so a study that is to hold for other artists resamples artists, and
then tracks of each: `draw_clustered`.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from ssl_audio.datasets.dataset import Classes
from ssl_audio.probing.classes import class_metrics
from ssl_audio.probing.metrics import resampled_metrics
from ssl_audio.reports.results import Interval, MeanAndStd

METRICS = ("roc_auc", "map")


@dataclass(frozen=True)
class Bootstrap:
    """Metrics of one system on the resamples.

    Attributes:
        roc_auc, map: (resamples, tags), NaN where a tag is undefined.
        fraction: of the test set in each resample, without replacement, 0 to 1; 1: with
            replacement, as many rows as the test set has.
        classes: by title, (resamples,) metrics of the predicted classes.
    """

    roc_auc: np.ndarray
    map: np.ndarray
    fraction: float
    classes: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def metrics(self) -> Sequence[str]:
        """The names that `macro` takes, the most important first."""
        return (*self.classes, *METRICS)

    def macro(self, metric: str) -> np.ndarray:
        """(resamples,) means over the tags that are defined in each resample, or `classes`."""
        if metric in self.classes:
            return self.classes[metric]
        return _nan_mean(getattr(self, metric), axis=1)

    def by_tag(self, metric: str) -> list[MeanAndStd]:
        """Mean and standard deviation of each tag over the resamples."""
        values = getattr(self, metric)
        mean = _nan_mean(values, axis=0)
        std = np.sqrt(_nan_mean((values - mean) ** 2, axis=0))
        return [MeanAndStd(float(m), float(s)) for m, s in zip(mean, std, strict=True)]

    def summary(self, metric: str) -> tuple[float, float]:
        """Mean and standard deviation of `macro` over the resamples where it is defined."""
        return _mean_and_deviation(self.macro(metric))

    @property
    def correction(self) -> float:
        """Deviation of a new test set, as a multiple of that of the resamples."""
        return 1.0 if self.fraction == 1 else math.sqrt(self.fraction / (1 - self.fraction))

    @property
    def undefined(self) -> int:
        """Number of (resample, tag) pairs without positives or without negatives."""
        return int(np.isnan(self.roc_auc).sum())


def bootstrap(
    targets: np.ndarray,
    scores: np.ndarray,
    resamples: int = 50,
    fraction: float = 0.5,
    seed: int = 0,
    classes: Classes | None = None,
) -> Bootstrap:
    """Metrics on random subsets of the test set.

    The same seed and number of rows give the same subsets, so that systems are paired.

    Args:
        targets: (rows, tags): 0, 1 or UNLABELLED.
        scores: (rows, tags).
        resamples: number of subsets.
        fraction: of the rows in each subset, without replacement, 0 to 1.
        seed: of the subsets.
        classes: adds the metrics of classes; None if a row may have any number of tags.

    Raises:
        ValueError: a fraction that leaves no row or all of them, or shapes that differ.
    """
    chosen = draw_subsets(len(targets), resamples, fraction, seed)
    roc_auc, precision = resampled_metrics(targets, scores, chosen)
    own = class_metrics(targets, scores, chosen, classes.credits) if classes else {}
    return Bootstrap(roc_auc, precision, fraction, own)


def draw_subsets(rows: int, resamples: int, fraction: float, seed: int) -> np.ndarray:
    """(resamples, rows) bool: random subsets of a fraction of the rows."""
    count = round(rows * fraction)
    if not 0 < count < rows:
        raise ValueError(f"fraction={fraction} of {rows} rows is {count} rows")
    rng = np.random.default_rng(seed)
    chosen = np.zeros((resamples, rows), bool)
    for row in chosen:
        row[rng.permutation(rows)[:count]] = True
    return chosen


def clustered_bootstrap(
    targets: np.ndarray,
    scores: np.ndarray,
    clusters: Sequence[Hashable],
    resamples: int = 2000,
    seed: int = 0,
) -> Bootstrap:
    """Metrics on resamples of `draw_clustered`; the arguments are those of both functions.

    The same clusters and seed give the same resamples, so that systems are paired.
    """
    drawn = draw_clustered(clusters, resamples, seed)
    return Bootstrap(*resampled_metrics(targets, scores, drawn), fraction=1.0)


def draw_clustered(clusters: Sequence[Hashable], resamples: int, seed: int) -> np.ndarray:
    """How often each row is drawn by a bootstrap of two levels: (resamples, rows) int32.

    As many clusters as there are, with replacement, and from each cluster that is drawn as many
    rows as it has, with replacement (Davison and Hinkley 1997, "Bootstrap methods and their
    application", section 3.8). Its intervals are rather too wide than too narrow, since the
    clusters alone carry the variance of their rows. Rows of a cluster of their own are drawn
    as in the plain bootstrap.

    Args:
        clusters: (rows,) the cluster of each row, such as its artist.
        resamples: number of resamples.
        seed: of the draws.
    """
    numbers = {name: k for k, name in enumerate(dict.fromkeys(clusters))}
    of_row = np.array([numbers[name] for name in clusters])
    members, sizes = np.argsort(of_row, kind="stable"), np.bincount(of_row)
    starts = np.cumsum(sizes) - sizes
    rng = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(of_row)), np.int32)
    for row in counts:
        drawn = rng.integers(len(sizes), size=len(sizes))
        first, size = (part[drawn].repeat(sizes[drawn]) for part in (starts, sizes))
        rows = members[first + rng.integers(size)]
        row += np.bincount(rows, minlength=len(row)).astype(np.int32)
    return counts


def normal_interval(mean: float, deviation: float, confidence: float = 0.95) -> Interval:
    """The interval of an estimate with a known standard deviation; `confidence` is 0 to 1."""
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * deviation
    return Interval(mean, mean - reach, mean + reach)


def paired_difference(
    a: Bootstrap, b: Bootstrap, metric: str, confidence: float = 0.95
) -> Interval:
    """The difference a - b on the same resamples, with a confidence interval.

    The mean of m of n rows, drawn without replacement, has the variance (1 / m - 1 / n) times that
    of a row; the mean of a new test set of n rows would have 1 / n times that of a row. The
    interval is therefore normal, with the resamples' standard deviation times
    sqrt(fraction / (1 - fraction)), which is 1 for halves (Politis, Romano and Wolf 1999,
    "Subsampling", section 2.3, with the finite population correction). Resamples with replacement
    have the deviation of a new test set.

    Args:
        a, b: of the same targets, resamples and seed.
        metric: one of `Bootstrap.metrics`.
        confidence: level of the interval, 0 to 1.

    Raises:
        ValueError: the two are not of the same resamples.
    """
    if a.roc_auc.shape != b.roc_auc.shape or a.fraction != b.fraction:
        raise ValueError("the two are not of the same resamples")
    difference = a.macro(metric) - b.macro(metric)
    mean, deviation = _mean_and_deviation(difference)
    return normal_interval(mean, deviation * a.correction, confidence)


def _mean_and_deviation(values: np.ndarray) -> tuple[float, float]:
    """Mean and sample standard deviation of the values that are not NaN; NaN for fewer than 2."""
    defined = values[~np.isnan(values)]
    if len(defined) < 2:
        return math.nan, math.nan
    return float(defined.mean()), float(defined.std(ddof=1))


def _nan_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """`np.nanmean` without its warning where all values are NaN."""
    defined = ~np.isnan(values)
    count = defined.sum(axis)
    total = np.where(defined, values, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
