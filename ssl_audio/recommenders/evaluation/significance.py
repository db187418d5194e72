"""Error bars over playlists, and whether one system is better than another on the same ones.

Playlists are what a new sample would draw anew, so they are what is resampled (Efron and Tibshirani
1993, "An Introduction to the Bootstrap", section 13.3, percentile intervals). The test of a
difference flips the signs of the playlists' differences at random (Fisher's randomisation test;
Smucker, Allan and Carterette 2007, "A comparison of statistical significance tests for information
retrieval evaluation"). It tests the mean, which is what the tables print; Wilcoxon's test ranks the
differences instead, and leaves out the playlists on which two systems tie, which at P@1 are most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BLOCK = 2_000_000  # draws at a time


@dataclass(frozen=True)
class Interval:
    """A mean over playlists and its bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences, its bootstrap interval, and the p-value of "it is 0"."""

    mean: float
    low: float
    high: float
    p: float


def interval(
    values: np.ndarray, seed: int = 0, resamples: int = 1000, confidence: float = 0.95
) -> Interval:
    """The mean, with the percentile interval of the means of as many playlists drawn again.

    Args:
        values: (playlists,) figures, 2 or more.
        seed: of the drawing; the same seed draws the same playlists, whatever the system.
        resamples: how many.
        confidence: of the interval, 0 to 1.

    Raises:
        ValueError: fewer than two playlists, figures that are not numbers, or a confidence or
            number of resamples out of range.
    """
    values = _checked(values)
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(f"confidence={confidence}, resamples={resamples}")
    means = _resampled_means(values, seed, resamples)
    low, high = np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(float(values.mean()), float(low), float(high))


def interval_of(
    statistic: Callable[..., np.ndarray],
    *columns: np.ndarray,
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
) -> Interval:
    """A figure that is made of several means, as F1 is, with its interval.

    Args:
        statistic: from the means of the columns, (n,) each, to (n,).
        columns: (playlists,) figures each, of the same playlists.
        seed, resamples, confidence: as of `interval`, which draws the same playlists.

    Raises:
        ValueError: as `interval`.
    """
    checked = [_checked(values) for values in columns]
    drawn = statistic(*(_resampled_means(values, seed, resamples) for values in checked))
    low, high = np.quantile(drawn, [0.5 - confidence / 2, 0.5 + confidence / 2])
    whole = statistic(*(values.mean(keepdims=True) for values in checked))
    return Interval(float(whole[0]), float(low), float(high))


def paired(
    a: np.ndarray,
    b: np.ndarray,
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
    flips: int = 9_999,
) -> Difference:
    """How much better `a` is than `b` on the same playlists.

    Args:
        a, b: (playlists,) figures of two systems.
        seed, resamples, confidence: as of `interval`.
        flips: random signs that the p-value (two-sided) is counted from: at least 1 / (flips + 1).

    Raises:
        ValueError: the two are not of the same playlists; as `interval`.
    """
    return all_paired([(a, b)], seed, resamples, confidence, flips)[0]


def all_paired(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int = 0,
    resamples: int = 1000,
    confidence: float = 0.95,
    flips: int = 9_999,
) -> list[Difference]:
    """`paired` of many pairs over the same playlists, which share the drawing of signs."""
    for a, b in pairs:
        if a.shape != b.shape:
            raise ValueError(f"figures of {a.shape} and {b.shape} playlists are not paired")
    if not pairs:
        return []
    differences = [_checked(np.asarray(a, np.float64) - b) for a, b in pairs]
    found = [interval(values, seed, resamples, confidence) for values in differences]
    p_values = sign_flip_tests(np.stack(differences, axis=1), seed, flips)
    return [
        Difference(f.mean, f.low, f.high, float(p)) for f, p in zip(found, p_values, strict=True)
    ]


def sign_flip_tests(differences: np.ndarray, seed: int = 0, flips: int = 9_999) -> np.ndarray:
    """Two-sided p-values of the means' being 0: the share of random signs that reach as far.

    p = (1 + those flips whose |sum| is no less than the observed one) / (1 + flips): the observed
    signs are one of the orders that are counted, so that p is never 0 and the test is exact.

    Args:
        differences: (playlists, tests), finite.
        seed: of the signs, which all tests share.
        flips: how many.

    Returns:
        (tests,), above 0 and at most 1.
    """
    size = np.abs(differences)
    whole = size.sum(0)
    reach = np.abs(differences.sum(0)) - 1e-9 * whole  # equal sums differ by rounding
    rows = max(1, BLOCK // len(size))
    as_far = np.zeros(size.shape[1], np.int64)
    for block, start in enumerate(range(0, flips, rows)):
        rng = np.random.default_rng((seed, block))
        signs = _random_bits(rng, min(rows, flips - start), len(size))
        as_far += (np.abs(2 * (signs @ size) - whole) >= reach).sum(0)
    return (1 + as_far) / (1 + flips)


def holm(p: Sequence[float]) -> np.ndarray:
    """(tests,) p-values that hold for all of several tests at once, in the order given.

    Holm 1979: of n tests the i-th smallest p-value (i = 1, ...) is multiplied by n + 1 - i, and is
    no smaller than the ones before it, nor above 1.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _checked(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"{values.shape} figures: a number for each of 2 or more playlists")
    return values


def _resampled_means(values: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """(resamples,): a product of how often each playlist is drawn with its figure."""
    rows = min(max(1, BLOCK // len(values)), resamples)
    blocks = -(-resamples // rows)
    sums = [_counts(len(values), seed, b, rows).astype(np.float64) @ values for b in range(blocks)]
    return np.concatenate(sums)[:resamples] / len(values)


@lru_cache(maxsize=8)  # the tables of many systems over the same playlists draw the same
def _counts(playlists: int, seed: int, block: int, rows: int) -> np.ndarray:
    """(rows, playlists) how often each is drawn; more than 255 times happens to nobody."""
    rng = np.random.default_rng((seed, block))
    drawn = rng.integers(playlists, size=(rows, playlists), dtype=np.int32)
    drawn += np.arange(rows, dtype=np.int32)[:, None] * playlists
    counts = np.bincount(drawn.ravel(), minlength=rows * playlists)
    return counts.astype(np.uint8).reshape(rows, playlists)


def _random_bits(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) float64, 0 or 1 alike."""
    packed = np.frombuffer(rng.bytes(rows * -(-columns // 8)), np.uint8).reshape(rows, -1)
    return np.unpackbits(packed, axis=1, count=columns).astype(np.float64)
