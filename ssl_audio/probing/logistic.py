"""scikit-learn's logistic regression as a probe."""

from __future__ import annotations

import numpy as np
import torch

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.probing.losses import tag_loss

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse L2 regularisation
MAX_ITERATIONS = 1000
ABSENT = -30.0  # logit of classes without a training row


def validation_split(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A random quarter of the rows, for validation, and the other rows."""
    order = np.random.default_rng(seed).permutation(rows)
    return order[: rows // 4], order[rows // 4 :]


class LogisticProbe:
    """One L2-regularised logistic regression for each tag, on standardised features.

    All tags share one strength of the regularisation: of `STRENGTHS`, that of the smallest
    validation loss. A tag without a positive or without a negative training row scores 0.

    Args:
        single_label: each row has exactly one tag; then one multinomial regression.

    Attributes:
        weight_, bias_: (dimensions, tags) and (tags,), for features that are not standardised.
    """

    def __init__(self, single_label: bool = False) -> None:
        self.single_label = single_label

    def fit(
        self, x: np.ndarray, y: np.ndarray, validation: tuple[np.ndarray, np.ndarray] | None = None
    ) -> LogisticProbe:
        """Train on (rows, dimensions) features and (rows, tags) targets: 0, 1 or UNLABELLED.

        Args:
            x, y: training rows.
            validation: further rows that choose the strength. None: a random quarter of the
                training rows chooses it, and the probe is then trained on all of them.
        """
        if validation is not None:
            self.strength_ = self._best_strength(x, y, *validation)
        else:
            held_out, rest = validation_split(len(x))
            self.strength_ = self._best_strength(x[rest], y[rest], x[held_out], y[held_out])
        return self._fit(x, y, self.strength_)

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Logits: (rows, dimensions) to (rows, tags)."""
        return np.asarray(x @ self.weight_ + self.bias_)

    def _best_strength(
        self, x: np.ndarray, y: np.ndarray, validation_x: np.ndarray, validation_y: np.ndarray
    ) -> float:
        expected = torch.from_numpy(validation_y.astype(np.float64))

        def loss(strength: float) -> float:
            logits = torch.from_numpy(self._fit(x, y, strength).scores(validation_x))
            weights = torch.ones(len(logits), dtype=torch.float64)
            return float(tag_loss(logits, expected, weights, self.single_label))

        return min(STRENGTHS, key=loss)

    def _fit(self, x: np.ndarray, y: np.ndarray, strength: float) -> LogisticProbe:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        self.scaler_ = StandardScaler().fit(x)
        x = self.scaler_.transform(x)
        weight, bias = np.zeros((x.shape[1], y.shape[1])), np.zeros(y.shape[1])
        for tags, label in self._labels(y):
            known = slice(None) if self.single_label else label != UNLABELLED
            if len(np.unique(label[known])) < 2:
                continue
            model = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
            model.fit(x[known], label[known])
            if self.single_label:
                bias[:] = ABSENT
                tags = tags[model.classes_]
            found, constant = model.coef_.T, model.intercept_
            if found.shape[1] < len(tags):  # of two classes, the logit of the second
                found, constant = np.pad(found, ((0, 0), (1, 0))), np.pad(constant, (1, 0))
            weight[:, tags], bias[tags] = found, constant
        # (x - mean) / deviation is affine too
        self.weight_ = weight / self.scaler_.scale_[:, None]
        self.bias_ = bias - self.scaler_.mean_ @ self.weight_
        return self

    def _labels(self, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """The columns of each regression, and the (rows,) labels that it learns."""
        columns = np.arange(y.shape[1])
        if self.single_label:
            return [(columns, y.argmax(1))]
        return [(columns[[tag]], y[:, tag]) for tag in columns]
