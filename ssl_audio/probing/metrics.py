"""ROC-AUC and average precision of many tags on many resamples at once.

A tag's scores are sorted once. On any subset of the rows both figures then follow from two counts
at each positive: how many chosen rows, and how many chosen positives, rank at or above it. Ties
count as in scikit-learn: half for ROC-AUC, as one threshold for average precision. A row that is
chosen several times counts as so many rows.
"""

from dataclasses import dataclass

import numpy as np

from ssl_audio.datasets.dataset import UNLABELLED


@dataclass(frozen=True)
class Metrics:
    """How well scores rank the positives of each tag above the negatives.

    Attributes:
        roc_auc: mean of `tag_roc_auc` over the tags where it is defined.
        map: mean of `tag_map` over the tags where it is defined.
        tag_roc_auc, tag_map: (tags,) 0 to 1, NaN where a tag has no positive or no negative.
    """

    roc_auc: float
    map: float
    tag_roc_auc: np.ndarray
    tag_map: np.ndarray


def evaluate(targets: np.ndarray, scores: np.ndarray) -> Metrics:
    """ROC-AUC and average precision of each tag, and their means over the tags.

    Args:
        targets: (rows, tags): 0, 1 or UNLABELLED; a tag is measured on the rows that are labelled.
        scores: (rows, tags), finite; greater is more likely.

    Raises:
        ValueError: shapes that differ, or scores that are not finite.
    """
    everything = np.ones((1, len(targets)), bool)
    roc, precision = resampled_metrics(targets, scores, everything)
    return Metrics(mean(roc[0]), mean(precision[0]), roc[0], precision[0])


def mean(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN if there is none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def resampled_metrics(
    targets: np.ndarray, scores: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """ROC-AUC and average precision of each tag on each resample of the rows.

    Args:
        targets: (rows, tags): 0, 1 or UNLABELLED.
        scores: (rows, tags).
        chosen: (resamples, rows) boolean, or whole numbers: how often each row is drawn.

    Returns:
        Two (resamples, tags) float64, NaN where a tag has no positive or no negative.

    Raises:
        ValueError: as `evaluate`.
    """
    targets, scores = np.asarray(targets), np.asarray(scores)
    if targets.shape != scores.shape or targets.ndim != 2:
        raise ValueError(
            f"targets and scores must both be (rows, tags), not {targets.shape} and {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    # rows first, so that the values gathered for a row are contiguous
    by_row = np.ascontiguousarray(chosen.T)
    roc = np.full((len(chosen), targets.shape[1]), np.nan)
    precision = roc.copy()
    for tag in range(targets.shape[1]):
        labelled = targets[:, tag] != UNLABELLED
        own = (targets[:, tag], scores[:, tag], by_row)
        if not labelled.all():
            own = tuple(array[labelled] for array in own)
        roc[:, tag], precision[:, tag] = _tag_metrics(*own)
    return roc, precision


def _tag_metrics(
    target: np.ndarray, score: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(-score, kind="stable")
    ranked, positive = score[order], np.flatnonzero(target[order])
    picked = chosen[order]  # (rows, resamples), best score first
    of_positive = picked[positive]
    drawn = of_positive > 0
    positives = of_positive.sum(0)
    negatives = picked.sum(0) - positives
    if not len(positive):
        undefined = np.full(chosen.shape[1], np.nan)
        return undefined, undefined
    first, last = _tie_ends(ranked, positive)
    above = _counts(picked)
    above_positive = _counts(of_positive)
    hits = above_positive[np.searchsorted(positive, last)]  # positives down to the tie's end
    hits_before = above_positive[np.searchsorted(positive, first)]
    false = above[last] - hits
    false_before = above[first] - hits_before
    with np.errstate(invalid="ignore", divide="ignore"):
        beaten = negatives - (false + false_before) / 2
        roc = (of_positive * beaten).sum(0) / (positives * negatives)
        precision = (of_positive * (hits / (hits + false))).sum(0, where=drawn) / positives
    defined = (positives > 0) & (negatives > 0)
    return np.where(defined, roc, np.nan), np.where(defined, precision, np.nan)


def _counts(picked: np.ndarray) -> np.ndarray:
    """(rows, resamples) to (rows + 1, resamples): draws of the first k rows."""
    counts = np.zeros((len(picked) + 1, picked.shape[1]), np.int32)
    np.cumsum(picked, axis=0, dtype=np.int32, out=counts[1:])
    return counts


def _tie_ends(ranked: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each positive, the first row of its tie and the row after its last."""
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    ends = np.append(starts[1:], len(ranked))
    tie = np.searchsorted(starts, positive, side="right") - 1
    return starts[tie], ends[tie]
