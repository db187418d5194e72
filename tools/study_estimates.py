"""Means and differences of a study's rows, with intervals over seeds, artists and tracks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from study_results import Finished, ProbeScores

from ssl_audio.probing.bootstrap import METRICS, clustered_bootstrap, normal_interval
from ssl_audio.probing.metrics import evaluate
from ssl_audio.recommenders.evaluation.significance import holm
from ssl_audio.reports.results import Difference, Interval

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A metric of a row: its mean over the seeds with an interval, and its paired difference to the
    reference row; None for that row itself."""

    value: Interval
    difference: Difference | None


@dataclass(frozen=True)
class Resampled:
    """One metric of one row.

    Attributes:
        mean: over the seeds, of all tracks.
        resamples: (resamples,) the same of seeds and tracks that were drawn.
    """

    mean: float
    resamples: np.ndarray


Estimates = dict[str, dict[str, dict[str, Estimate]]]  # by labelled set, metric and row


def estimate(
    rows: Mapping[str, Sequence[Finished]], reference: str, resamples: int, seed: int
) -> Estimates:
    """Estimates of all rows; p-values are corrected over all of them (Holm).

    A resample draws artists and tracks of each (`draw_clustered`), the same for all rows, and n - 1
    of the n seeds of each row, with replacement: the mean of so many has the variance that the
    mean of n seeds has over new seeds (Rao and Wu 1988, "Resampling inference with complex survey
    data"). A row of one seed is taken as it is. Intervals and p-values are normal, with the
    deviation of the resamples.
    """
    found: Estimates = {}
    for name in rows[reference][0].probes:
        drawn = {
            row: _resampled([one.probes[name] for one in runs], resamples, (seed, place))
            for place, (row, runs) in enumerate(rows.items())
        }
        found[name] = {
            metric: {
                row: _estimate(row, reference, metric, by_metric[metric], drawn[reference][metric])
                for row, by_metric in drawn.items()
            }
            for metric in METRICS
        }
    return _corrected(found)


def _resampled(
    probes: Sequence[ProbeScores], resamples: int, seed: tuple[int, int]
) -> dict[str, Resampled]:
    """The metrics of one row, from the probes of its seeds."""
    tracks, place = seed
    rng = np.random.default_rng((tracks, place))
    n = len(probes)
    seeds = rng.integers(n, size=(resamples, max(1, n - 1)))
    scores = [np.array(one.scores) for one in probes]
    whole = [evaluate(one.targets, found) for one, found in zip(probes, scores, strict=True)]
    boots = [
        clustered_bootstrap(one.targets, found, one.clusters, resamples, tracks)
        for one, found in zip(probes, scores, strict=True)
    ]
    made = {}
    for metric in METRICS:
        by_seed = np.stack([boot.macro(metric) for boot in boots], axis=1)
        mean = float(np.mean([getattr(one, metric) for one in whole]))
        made[metric] = Resampled(mean, np.take_along_axis(by_seed, seeds, axis=1).mean(1))
    return made


def _estimate(
    row: str, reference: str, metric: str, own: Resampled, other: Resampled
) -> Estimate:  # fmt: skip
    value = normal_interval(own.mean, _deviation(own.resamples), CONFIDENCE)
    if row == reference:
        return Estimate(value, None)
    deviation = _deviation(own.resamples - other.resamples)
    found = normal_interval(own.mean - other.mean, deviation, CONFIDENCE)
    p = two_sided(found.mean, deviation)
    difference = Difference(
        row, reference, metric, found.mean, found.low, found.high, CONFIDENCE, p
    )
    return Estimate(value, difference)


def _deviation(values: np.ndarray) -> float:
    """Standard deviation of the resamples in which any tag is defined."""
    return float(np.nanstd(values, ddof=1))


def two_sided(mean: float, deviation: float) -> float:
    """The p-value of a normal estimate under the hypothesis that it is 0."""
    if deviation == 0:
        return 1.0 if mean == 0 else 0.0
    return math.erfc(abs(mean) / (deviation * math.sqrt(2)))


def _corrected(found: Estimates) -> Estimates:
    """The same estimates with Holm's correction over all differences."""
    places = [
        (name, metric, row, one.difference)
        for name, by_metric in found.items()
        for metric, by_row in by_metric.items()
        for row, one in by_row.items()
        if one.difference is not None
    ]
    corrected = holm([one.p for *_, one in places if one.p is not None])
    for (name, metric, row, one), p in zip(places, corrected.tolist(), strict=True):
        old = found[name][metric][row]
        found[name][metric][row] = replace(old, difference=replace(one, p=p))
    return found
