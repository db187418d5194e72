"""Bootstrap intervals over playlists, and paired tests of the difference of two systems.

Playlists (or users) are the unit that is resampled (Efron and Tibshirani 1993, "An Introduction to
the Bootstrap", section 13.3, percentile intervals), and training seeds where there are several. A
difference is tested by flipping the signs of the playlists' differences at random (Fisher's
randomisation test; Smucker, Allan and Carterette 2007, "A comparison of statistical significance
tests for information retrieval evaluation"). Unlike Wilcoxon's test it tests the mean, which the
tables show, and keeps ties.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from ssl_audio.reports.results import Difference, Interval

BLOCK = 2_000_000  # random draws in memory at a time
LEVEL = 0.95  # of all intervals
FLIPS = 9_999  # random sign vectors of a test


def interval(values: np.ndarray, seed: int = 0, resamples: int = 1000) -> Interval:
    """`interval_of` the mean of one column."""
    return interval_of(np.asarray, values, seed=seed, resamples=resamples)


def interval_of(
    statistic: Callable[..., np.ndarray], *columns: np.ndarray, seed: int = 0, resamples: int = 1000
) -> Interval:
    """A function of several means, such as F1, with its percentile interval.

    Args:
        statistic: from the means of the columns, (n,) each, to (n,).
        columns: (playlists,) or (training seeds, playlists) figures of the same playlists; with a
            single playlist, such as a figure of all lists together, only seeds are resampled.
        seed: of the resampling; equal seeds draw the same playlists for every system.
        resamples: number of resamples, each of playlists and, independently, of training seeds.

    Raises:
        ValueError: no playlist, or figures that are not finite.
    """
    checked = [_checked(values) for values in columns]
    drawn = statistic(*(_resampled_means(values, seed, resamples) for values in checked))
    low, high = np.quantile(drawn, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    whole = statistic(*(values.mean(keepdims=True).ravel() for values in checked))
    return Interval(float(whole[0]), float(low), float(high))


def paired_differences(
    pairs: Sequence[tuple[str, str]],
    figures: Mapping[str, Mapping[str, np.ndarray]],
    metrics: Sequence[str],
    seed: int = 0,
    resamples: int = 1000,
) -> tuple[Difference, ...]:
    """Differences of pairs of systems, with intervals and p-values.

    The p-values are corrected over all pairs and metrics (Holm); with several training seeds, they
    are of the playlists' means over the seeds. `figures` are (playlists,) or (seeds, playlists) of
    the same playlists, by system and metric; seed and resamples are those of `interval_of`.
    """
    tests = [(*pair, metric) for metric in metrics for pair in pairs]
    if not tests:
        return ()
    columns = [_checked(figures[a][metric] - figures[b][metric]) for a, b, metric in tests]
    means = np.stack([values.mean(0) for values in columns], axis=1)
    p_values = holm(sign_flip_tests(means, seed))
    intervals = (interval(values, seed, resamples) for values in columns)
    return tuple(
        Difference(*test, one.mean, one.low, one.high, LEVEL, p)
        for test, one, p in zip(tests, intervals, p_values.tolist(), strict=True)
    )


def sign_flip_tests(differences: np.ndarray, seed: int = 0, flips: int = FLIPS) -> np.ndarray:
    """Two-sided p-values of the hypotheses that means are 0.

    p = (1 + number of random sign vectors whose |sum| is at least the observed |sum|)
    / (1 + flips). The observed signs are counted, so that p > 0 and the test is exact.

    Args:
        differences: (playlists, tests), finite.
        seed: of the signs, which all tests share.
        flips: number of sign vectors.

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


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """(tests,) p-values corrected for multiple tests, in the order given.

    Holm 1979: of n tests, the i-th smallest p-value (i = 1, ...) is multiplied by n + 1 - i, and is
    at least as large as those before it and at most 1.
    """
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _checked(values: np.ndarray) -> np.ndarray:
    """(seeds, playlists) float64."""
    values = np.atleast_2d(np.asarray(values, np.float64))
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"{values.shape} figures: a finite number for each of the playlists")
    return values


def _resampled_means(values: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """(resamples,) of (seeds, playlists): products of how often each is drawn with the figures."""
    seeds, playlists = values.shape
    rows = min(max(1, BLOCK // playlists), resamples)
    blocks = -(-resamples // rows)
    sums = [_counts(playlists, seed, b, rows).astype(np.float64) @ values.T for b in range(blocks)]
    means = np.concatenate(sums)[:resamples] / playlists
    drawn = np.random.default_rng((seed, 2**32)).multinomial(
        seeds, np.full(seeds, 1 / seeds), resamples
    )
    return (means * drawn).sum(1) / seeds  # type: ignore[no-any-return]


@lru_cache(maxsize=8)  # all systems over the same playlists use the same draws
def _counts(playlists: int, seed: int, block: int, rows: int) -> np.ndarray:
    """(rows, playlists) uint8, how often each is drawn; more than 255 times does not occur."""
    rng = np.random.default_rng((seed, block))
    drawn = rng.integers(playlists, size=(rows, playlists), dtype=np.int32)
    drawn += np.arange(rows, dtype=np.int32)[:, None] * playlists
    counts = np.bincount(drawn.ravel(), minlength=rows * playlists)
    return counts.astype(np.uint8).reshape(rows, playlists)


def _random_bits(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """(rows, columns) float64, 0 or 1 with equal probability."""
    packed = np.frombuffer(rng.bytes(rows * -(-columns // 8)), np.uint8).reshape(rows, -1)
    return np.unpackbits(packed, axis=1, count=columns).astype(np.float64)
