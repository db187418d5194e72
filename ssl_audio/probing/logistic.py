"""scikit-learn's logistic regression as a probe."""

import numpy as np
import torch

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.probing.batched import TrainedProbe, Validation
from ssl_audio.probing.losses import tag_loss

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse L2 regularisation
MAX_ITERATIONS = 1000
ABSENT = -30.0  # logit of classes without a training row


def validation_split(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A random quarter of the rows, for validation, and the other rows."""
    order = np.random.default_rng(seed).permutation(rows)
    return order[: rows // 4], order[rows // 4 :]


def fit_logistic(
    x: np.ndarray, y: np.ndarray, validation: Validation | None = None, single_label: bool = False
) -> TrainedProbe:
    """One L2-regularised logistic regression for each tag, on standardised features.

    All tags share one strength of the regularisation: of `STRENGTHS`, that of the smallest
    validation loss. A tag without a positive or without a negative training row scores 0.

    Args:
        x, y: (rows, dimensions) features and (rows, tags) targets: 0, 1 or UNLABELLED.
        validation: further rows that choose the strength. None: a random quarter of the training
            rows chooses it, and the probe is then trained on all of them.
        single_label: each row has exactly one tag; then one multinomial regression.
    """
    if validation is not None:
        strength = best_strength(x, y, validation, single_label)
    else:
        held_out, rest = validation_split(len(x))
        strength = best_strength(x[rest], y[rest], (x[held_out], y[held_out]), single_label)
    return fit_with(strength, x, y, single_label)


def best_strength(
    x: np.ndarray, y: np.ndarray, validation: Validation, single_label: bool = False
) -> float:
    """The strength of the smallest validation loss; the arguments are those of `fit_logistic`."""
    expected = torch.from_numpy(validation[1].astype(np.float64))

    def loss(strength: float) -> float:
        probe = fit_with(strength, x, y, single_label)
        logits = torch.from_numpy(probe.scores(validation[0]))
        weights = torch.ones(len(logits), dtype=torch.float64)
        return float(tag_loss(logits, expected, weights, single_label))

    return min(STRENGTHS, key=loss)


def fit_with(
    strength: float, x: np.ndarray, y: np.ndarray, single_label: bool = False
) -> TrainedProbe:
    """The regressions of one strength; the arguments are those of `fit_logistic`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    x = scaler.transform(x)
    weight, bias = np.zeros((x.shape[1], y.shape[1])), np.zeros(y.shape[1])
    columns = np.arange(y.shape[1])
    each = [(columns, y.argmax(1))] if single_label else zip(columns[:, None], y.T, strict=True)
    for tags, label in each:
        known = slice(None) if single_label else label != UNLABELLED
        if len(np.unique(label[known])) < 2:
            continue
        model = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
        model.fit(x[known], label[known])
        if single_label:
            bias[:] = ABSENT
            tags = tags[model.classes_]
        found, constant = model.coef_.T, model.intercept_
        if found.shape[1] < len(tags):  # of two classes, the logit of the second
            found, constant = np.pad(found, ((0, 0), (1, 0))), np.pad(constant, (1, 0))
        weight[:, tags], bias[tags] = found, constant
    weight /= scaler.scale_[:, None]  # (x - mean) / deviation is affine too
    return TrainedProbe([(weight, bias - scaler.mean_ @ weight)], [])
