"""Retrieval: are the nearest tracks of the same artist or group, or of the same track?"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ssl_audio.datasets.dataset import UNLABELLED, Split
from ssl_audio.probing.bootstrap import draw_clustered, normal_interval
from ssl_audio.probing.encoders import TrackEncoder, digest
from ssl_audio.probing.features import track_features
from ssl_audio.probing.metrics import evaluate
from ssl_audio.reports.estimates import Interval, Retrieval
from ssl_audio.settings.probe import ProbeSettings
from ssl_audio.stores.graph import unit

RESAMPLES = 1000
BLOCK = 256  # queries at a time
MIN_QUERIES = 2


class Halves:
    """An encoder whose features are those of the two halves of a track, (2, dimensions)."""

    def __init__(self, encoder: TrackEncoder) -> None:
        self.name, self.kind, self.source = f"{encoder.name}: halves", encoder.kind, encoder.source
        self.key = digest(encoder.key, "halves")
        self.sample_rate = encoder.sample_rate
        self._encoder = encoder

    def features(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        waveform = np.concatenate(list(blocks))
        middle = len(waveform) // 2
        halves = (waveform[:middle], waveform[middle:])
        return np.stack([self._encoder.features([half]).mean(0) for half in halves])


def retrievals(
    encoder: TrackEncoder, test: Split, vectors: np.ndarray, centre: np.ndarray,
    settings: ProbeSettings,
) -> Iterator[Retrieval]:  # fmt: skip
    """The retrievals of `retrieval=` that a data set allows.

    Args:
        encoder: of the vectors.
        test: the tracks.
        vectors: (tracks, dimensions) mean features.
        centre: (dimensions,) subtracted from all features, since all cosines of non-negative ones
            are close to 1: their mean over the training tracks.
        settings: of the command.
    """
    for of in settings.retrieval:
        if of == "track":
            first, second, clusters = _halves(encoder, test, settings)
            same = np.arange(len(first))
            found = _each_query(second - centre, first - centre, same, itself=False)
        else:
            clusters = test.clusters
            known = test.artists if of == "artist" else test.groups
            same = _numbers(known or ("",) * len(test.ids))
            found = _each_query(vectors - centre, vectors - centre, same, itself=True)
        if (made := _summary(of, *found, clusters, settings)) is not None:
            yield made


def _halves(
    encoder: TrackEncoder, test: Split, settings: ProbeSettings
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Features of the first and of the second halves of tracks, and the tracks' clusters."""
    found = track_features(
        Halves(encoder), test.ids, test.paths, True, settings.cache, settings.workers
    )
    assert found.segments is not None and found.starts is not None and found.ends is not None
    whole = np.flatnonzero(found.ends - found.starts == 2)
    starts = found.starts[whole]
    kept = test.take(whole).clusters
    return np.array(found.segments[starts]), np.array(found.segments[starts + 1]), kept


def _numbers(names: Sequence[str]) -> np.ndarray:
    """(tracks,) a number for each name, and another one for each track without a name."""
    keys = [f"name {name}" if name else f"track {k}" for k, name in enumerate(names)]
    return np.unique(keys, return_inverse=True)[1]


def _each_query(
    candidates: np.ndarray, queries: np.ndarray, same: np.ndarray, itself: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Average precision of each query, and whether its nearest candidate is relevant.

    Candidates are ranked by cosine.

    Args:
        candidates, queries: (tracks, dimensions).
        same: (tracks,) those with the number of the query are relevant.
        itself: leave the query's own track out of its candidates.

    Returns:
        Two (tracks,) float64, NaN where no candidate or every one is relevant.
    """
    candidates, queries = unit(candidates), unit(queries)
    precision, hits = (np.full(len(queries), np.nan) for _ in range(2))
    for first in range(0, len(queries), BLOCK):
        rows = np.arange(first, min(first + BLOCK, len(queries)))
        cosines = candidates @ queries[rows].T  # (candidates, queries)
        relevant = (same[:, None] == same[rows]).astype(np.uint8)
        if itself:
            relevant[rows, rows - first] = UNLABELLED
        precision[rows] = evaluate(relevant, cosines).tag_map
        nearest = np.where(relevant == UNLABELLED, -np.inf, cosines).argmax(0)
        hits[rows] = relevant[nearest, rows - first] == 1
    hits[np.isnan(precision)] = np.nan
    return precision, hits


def _summary(
    of: str, precision: np.ndarray, hits: np.ndarray, clusters: Sequence[str],
    settings: ProbeSettings,
) -> Retrieval | None:  # fmt: skip
    """Means over the queries, with intervals over artists and tracks; None for too few queries."""
    queries = np.flatnonzero(~np.isnan(precision))
    if len(queries) < MIN_QUERIES:
        return None
    own = [clusters[k] for k in queries.tolist()]
    drawn = draw_clustered(own, RESAMPLES, settings.seed)
    confidence = settings.bootstrap.confidence
    means = [_interval(values[queries], drawn, confidence) for values in (precision, hits)]
    return Retrieval(of, len(queries), *means)


def _interval(values: np.ndarray, drawn: np.ndarray, confidence: float) -> Interval:
    resampled = drawn @ values / drawn.sum(1)
    return normal_interval(float(values.mean()), float(resampled.std(ddof=1)), confidence)
