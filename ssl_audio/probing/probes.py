"""Probes by name, and `Probe`, which is used like an estimator of scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ssl_audio.probing.batched import Validation, train_probes
from ssl_audio.probing.batches import TrainingRows
from ssl_audio.probing.logistic import LogisticProbe, validation_split
from ssl_audio.probing.metrics import evaluate
from ssl_audio.settings.probe import LinearProbeSettings


class Scorer(Protocol):
    """A trained probe."""

    def scores(self, x: np.ndarray) -> np.ndarray:
        """Logits: (rows, dimensions) to (rows, tags)."""


class ProbeKind(Protocol):
    """How probes of one kind are trained: `train_probes` is the first example."""

    def __call__(
        self,
        train: TrainingRows,
        validation: Validation,
        subsets: Sequence[np.ndarray],
        settings: LinearProbeSettings,
        seed: int = 0,
        title: str | None = None,
    ) -> Sequence[Scorer]:
        """Train one probe on each subset of the training rows."""


def train_logistic(
    train: TrainingRows,
    validation: Validation,
    subsets: Sequence[np.ndarray],
    settings: LinearProbeSettings,
    seed: int = 0,
    title: str | None = None,
) -> Sequence[Scorer]:
    """scikit-learn's logistic regression: a reference for the probes that are trained here."""
    return [
        LogisticProbe(train.single_label).fit(train.x[rows], train.y[rows], validation)
        for rows in subsets
    ]


PROBES: dict[str, ProbeKind] = {
    "linear": train_probes,
    "mlp": partial(train_probes, hidden=True),
    "logistic": train_logistic,
}


class Probe(BaseEstimator):  # type: ignore[misc]
    """Tags predicted from embeddings, with the interface of a scikit-learn classifier.

    A random quarter of the training rows chooses the best epoch (linear, mlp) or the regularisation
    (logistic), unless `validation` is given to `fit`.

    Args:
        kind: "linear", "mlp" or "logistic".
        settings: training of the linear and the MLP probe; None is the paper's.
        seed: of initial weights, order and validation rows.

    Attributes:
        n_features_in_: dimensions of the embeddings.
        probe_: the trained probe.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> embeddings = rng.normal(size=(400, 8))
        >>> tags = (embeddings[:, :2] > 0).astype(int)
        >>> probe = Probe("logistic").fit(embeddings, tags)
        >>> probe.predict_proba(embeddings).shape
        (400, 2)
        >>> probe.score(embeddings, tags) > 0.95
        True
    """

    def __init__(
        self,
        kind: Literal["linear", "mlp", "logistic"] = "linear",
        settings: LinearProbeSettings | None = None,
        seed: int = 0,
    ) -> None:
        self.kind, self.settings, self.seed = kind, settings, seed

    def fit(
        self, X: ArrayLike, y: ArrayLike, validation: tuple[ArrayLike, ArrayLike] | None = None
    ) -> Probe:
        """Train on embeddings.

        Args:
            X: (rows, dimensions) finite numbers.
            y: (rows, tags), 0 or 1; (rows,) is one tag.
            validation: further X and y, instead of a quarter of the training rows.

        Returns:
            this probe.

        Raises:
            ValueError: other shapes or values.
        """
        x, targets = _checked(X, y)
        if validation is not None:
            train, held_out = TrainingRows(x, targets), _checked(*validation)
        elif len(x) < 4:
            raise ValueError(f"4 or more rows are required without validation, not {len(x)}")
        else:
            chosen, rest = validation_split(len(x), self.seed)
            train, held_out = TrainingRows(x[rest], targets[rest]), (x[chosen], targets[chosen])
        if self.kind not in PROBES:
            raise ValueError(f"kind={self.kind!r}: {', '.join(PROBES)}")
        settings = self.settings or LinearProbeSettings()
        rows = [np.arange(len(train.y))]
        [self.probe_] = PROBES[self.kind](train, held_out, rows, settings, self.seed)
        self.n_features_in_ = x.shape[1]
        return self

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """(rows, tags) logits."""
        check_is_fitted(self)
        x = np.asarray(X)
        if x.ndim != 2 or x.shape[1] != self.n_features_in_:
            raise ValueError(f"X must be (rows, {self.n_features_in_}), not {x.shape}")
        return self.probe_.scores(x)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """(rows, tags) probabilities, 0 to 1."""
        return sigmoid(self.decision_function(X))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """(rows, tags) 0 or 1: tags that are more likely than not."""
        return (self.decision_function(X) > 0).astype(np.int64)

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """ROC-AUC, averaged over the tags with positives and negatives."""
        return evaluate(_checked(X, y)[1], self.decision_function(X)).roc_auc


def probabilities(logits: np.ndarray, single_label: bool) -> np.ndarray:
    """(rows, tags) logits to the probability of each tag; they sum to 1 if each row has one tag."""
    from scipy.special import softmax

    return np.asarray(softmax(logits, axis=1)) if single_label else sigmoid(logits)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logits)), without overflow."""
    from scipy.special import expit

    return np.asarray(expit(logits))


def _checked(X: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, targets = np.asarray(X), np.asarray(y)
    targets = targets[:, None] if targets.ndim == 1 else targets
    if x.ndim != 2 or targets.ndim != 2 or len(x) != len(targets) or not len(x):
        raise ValueError(
            f"X must be (rows, dimensions) and y (rows, tags), not {x.shape} and {targets.shape}"
        )
    if not np.isfinite(x).all():
        raise ValueError("X must be finite numbers")
    if not np.isin(targets, (0, 1)).all():
        raise ValueError("y must be 0 or 1")
    return x, targets.astype(np.uint8)
