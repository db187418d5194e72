"""Metrics of data sets whose tracks have exactly one tag, on many resamples at once."""

from collections.abc import Mapping

import numpy as np

ACCURACY, MACRO_F1 = "accuracy", "macro F1"  # titles of the metrics


def class_metrics(
    targets: np.ndarray,
    scores: np.ndarray,
    chosen: np.ndarray,
    credits: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Accuracy, macro F1 and partial credits on each subset of rows.

    The class with the highest score is predicted, of equal ones the first. F1 is averaged over the
    classes that are true or predicted in a subset, as by scikit-learn.

    Args:
        targets: (rows, tags), one 1 in each row.
        scores: (rows, tags).
        chosen: (resamples, rows) bool, True somewhere in each resample.
        credits: by title, (tags, tags) points for predicting the column where the row is true.

    Returns:
        (resamples,) float64 of each metric, by title.
    """
    true, predicted = targets.argmax(1), scores.argmax(1)
    picked = chosen.astype(float)
    count = picked.sum(1)
    accuracy = picked @ (true == predicted) / count
    points = {title: table[true, predicted] for title, table in (credits or {}).items()}
    return {
        ACCURACY: accuracy,
        MACRO_F1: _macro_f1(true, predicted, picked),
        **{title: picked @ values / count for title, values in points.items()},
    }


def _macro_f1(true: np.ndarray, predicted: np.ndarray, picked: np.ndarray) -> np.ndarray:
    """(resamples,) mean over the classes of 2 hits / (true + predicted)."""
    classes = np.arange(max(true.max(), predicted.max()) + 1)
    is_true, is_predicted = true[:, None] == classes, predicted[:, None] == classes
    hits = picked @ (is_true & is_predicted)
    present = picked @ is_true + picked @ is_predicted
    f1 = np.divide(2 * hits, present, out=np.zeros_like(hits), where=present > 0)
    return f1.sum(1) / (present > 0).sum(1)
