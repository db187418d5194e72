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
        x = self.scaler_.transform(x)
        if self.single_label:
            return self._class_scores(x)
        constant = np.zeros(len(x))
        return np.stack([m.decision_function(x) if m else constant for m in self.models_], axis=1)

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
        self.tags_ = y.shape[1]
        labels = [y.argmax(1)] if self.single_label else list(y.T)
        self.models_ = []
        for label in labels:
            known = slice(None) if self.single_label else label != UNLABELLED
            model = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS)
            varies = len(np.unique(label[known])) > 1
            self.models_.append(model.fit(x[known], label[known]) if varies else None)
        return self

    def _class_scores(self, x: np.ndarray) -> np.ndarray:
        [model] = self.models_
        scores = np.full((len(x), self.tags_), ABSENT)
        if model is None:
            return np.zeros_like(scores)
        logits = model.decision_function(x)
        if logits.ndim == 1:  # two classes
            logits = np.stack([np.zeros(len(x)), logits], axis=1)
        scores[:, model.classes_] = logits
        return scores
