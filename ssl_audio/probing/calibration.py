"""Probabilities of tags from logits: calibrated, measured, and turned into decisions."""

from dataclasses import dataclass

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


def probabilities(logits: np.ndarray, single_label: bool) -> np.ndarray:
    """(rows, tags) logits to the probability of each tag; they sum to 1 if each row has one tag."""
    from scipy.special import expit, softmax

    return np.asarray(softmax(logits, axis=1) if single_label else expit(logits))


@dataclass(frozen=True)
class Calibrator:
    """Logits z of a probe to probabilities: sigmoid(scale z + shift), or softmax(scale z + shift).

    Attributes:
        scale, shift: (tags,) each; the scale is positive, so that the order of tracks stays.
        single_label: each row has exactly one tag: softmax.
    """

    scale: np.ndarray
    shift: np.ndarray
    single_label: bool = False

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """(rows, tags) logits to probabilities, float64."""
        return probabilities(logits * self.scale + self.shift, self.single_label)


def fit_calibrator(targets: np.ndarray, logits: np.ndarray, single_label: bool) -> Calibrator:
    """The calibration of a probe by validation rows that it was not trained on.

    Tags: Platt scaling of each (Platt 1999, "Probabilistic outputs for support vector machines",
    section 2.2, with its smoothed targets). A tag without a positive or a negative row, or whose
    logits do not rise with it, keeps its logits. Classes: one temperature for all (Guo et al. 2017,
    equation 9).

    Args:
        targets: (rows, tags): 0, 1 or UNLABELLED.
        logits: (rows, tags).
        single_label: each row has exactly one tag.
    """
    logits = np.asarray(logits, np.float64)
    if single_label:
        scale = np.full(logits.shape[1], _inverse_temperature(targets, logits))
        return Calibrator(scale, np.zeros_like(scale), True)
    columns = zip(targets.T, logits.T, strict=True)
    pairs = [_platt(y[y != UNLABELLED], z[y != UNLABELLED]) for y, z in columns]
    scale, shift = np.array(pairs).T
    return Calibrator(scale, shift)


def _platt(y: np.ndarray, z: np.ndarray) -> tuple[float, float]:
    """Scale and shift of the logits of one tag, by maximum likelihood."""
    from sklearn.linear_model import LogisticRegression

    positives, negatives = int((y == 1).sum()), int((y == 0).sum())
    if not positives or not negatives:
        return 1.0, 0.0
    wanted = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # a row with the target t is a positive row of weight t and a negative one of weight 1 - t
    model = LogisticRegression(C=1e8, tol=1e-8, max_iter=1000).fit(
        np.tile(z, 2)[:, None],
        np.repeat([1, 0], len(z)),
        sample_weight=np.concatenate([wanted, 1 - wanted]),
    )
    scale, shift = float(model.coef_[0, 0]), float(model.intercept_[0])
    return (scale, shift) if scale > 0 else (1.0, 0.0)


def _inverse_temperature(targets: np.ndarray, logits: np.ndarray) -> float:
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    def loss(log_scale: float) -> float:
        return -float((log_softmax(np.exp(log_scale) * logits, axis=1) * targets).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))


def best_thresholds(targets: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(tags,) thresholds, each that of the highest F1 of its tag: present where p >= threshold.

    A threshold lies half-way between two probabilities that occur. A tag without a positive or a
    negative row gets 0.5.

    Args:
        targets: (rows, tags): 0, 1 or UNLABELLED.
        predicted: (rows, tags) probabilities.
    """
    from sklearn.metrics import precision_recall_curve

    found = np.full(targets.shape[1], 0.5)
    for tag, (y, p) in enumerate(zip(targets.T, predicted.T, strict=True)):
        y, p = y[y != UNLABELLED], p[y != UNLABELLED]
        if len(np.unique(y)) < 2:
            continue
        precision, recall, cuts = precision_recall_curve(y, p)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        best = int(np.flatnonzero(f1[:-1] == f1[:-1].max())[-1])  # of equals, the fewest tags
        below = cuts[best - 1] if best else 0.0
        found[tag] = (cuts[best] + below) / 2
    return found
