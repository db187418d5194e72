"""`ssl_audio.Probe`: tags from embeddings, used like an estimator of scikit-learn, and saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ssl_audio.io.model_folder import ModelFolder, write_model_folder
from ssl_audio.io.version import __version__
from ssl_audio.probing.batched import TrainedProbe, Validation
from ssl_audio.probing.batches import TrainingRows
from ssl_audio.probing.calibration import best_thresholds, fit_calibrator
from ssl_audio.probing.logistic import validation_split
from ssl_audio.probing.metrics import evaluate
from ssl_audio.probing.predictor import KIND, WEIGHTS, TagPredictor, read_probe
from ssl_audio.probing.probes import PROBES
from ssl_audio.settings.probe import LinearProbeSettings


class Probe(TagPredictor, BaseEstimator):  # type: ignore[misc]
    """Tags predicted from embeddings, with the interface of a scikit-learn classifier.

    Validation rows, a random quarter of the training rows unless they are given to `fit`, choose
    the best epoch (linear, mlp) or the regularisation (logistic), the calibration of the
    probabilities, and the threshold of each tag.

    Args:
        kind: "linear", "mlp" or "logistic".
        settings: training of the linear and the MLP probe; None is the paper's.
        seed: of initial weights, order and validation rows.
        single_label: each row has exactly one tag: probabilities sum to 1.

    Attributes:
        about_: and others after `fit`, see `TagPredictor`; it may be set before `save`.

    Examples:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> embeddings = rng.normal(size=(400, 8))
        >>> tags = (embeddings[:, :2] > 0).astype(int)
        >>> probe = Probe("logistic").fit(embeddings, tags, tags=["calm", "loud"])
        >>> probe.predict_proba(embeddings).shape
        (400, 2)
        >>> probe.score(embeddings, tags) > 0.95
        True
    """

    def __init__(
        self,
        kind: str = "linear",
        settings: LinearProbeSettings | None = None,
        seed: int = 0,
        single_label: bool = False,
    ) -> None:
        self.kind, self.settings, self.seed = kind, settings, seed
        self.single_label = single_label

    def fit(
        self, X: ArrayLike, y: ArrayLike, validation: tuple[ArrayLike, ArrayLike] | None = None,
        tags: Sequence[str] | None = None, encoder: str = "", hop: float | None = None,
    ) -> Probe:  # fmt: skip
        """Train on embeddings; returns this probe.

        Args:
            X: (rows, dimensions) finite numbers.
            y: (rows, tags), 0 or 1; (rows,) is one tag.
            validation: further X and y, instead of a quarter of the training rows.
            tags: their names; None numbers them.
            encoder, hop: see the attributes `encoder_` and `hop_`.

        Raises:
            ValueError: other shapes or values.
        """
        x, targets = _checked(X, y)
        if validation is not None:
            train, held_out = (x, targets), _checked(*validation)
        elif len(x) < 4:
            raise ValueError(f"4 or more rows are required without validation, not {len(x)}")
        else:
            chosen, rest = validation_split(len(x), self.seed)
            train, held_out = (x[rest], targets[rest]), (x[chosen], targets[chosen])
        if self.kind not in PROBES:
            raise ValueError(f"kind={self.kind!r}: {', '.join(PROBES)}")
        settings = self.settings or LinearProbeSettings()
        rows = TrainingRows(*train, single_label=self.single_label)
        every = [np.arange(len(rows.y))]
        [trained] = PROBES[self.kind](rows, held_out, every, settings, self.seed)
        names = [f"tag {k}" for k in range(targets.shape[1])] if tags is None else tags
        return self.adopt(trained, held_out, names, encoder, hop)

    def adopt(
        self, trained: TrainedProbe, validation: Validation, tags: Sequence[str],
        encoder: str = "", hop: float | None = None,
    ) -> Probe:  # fmt: skip
        """Take trained layers, and choose calibration and thresholds by the validation rows.

        Args:
            trained: layers of this probe's kind.
            validation: features and targets, which may be UNLABELLED.
            tags, encoder, hop: see the attributes.

        Raises:
            ValueError: names that are empty, given twice, or of another number than the tags.
        """
        x, targets = validation
        logits = trained.scores(x)
        calibrator = fit_calibrator(targets, logits, self.single_label)
        thresholds = None if self.single_label else best_thresholds(targets, calibrator(logits))
        self.set_layers(trained, calibrator, thresholds, tags)
        self.encoder_, self.hop_ = encoder, hop
        self.about_: dict[str, Any] = {}
        return self

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """(rows, tags) logits, not calibrated."""
        check_is_fitted(self)
        return super().decision_function(X)

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """ROC-AUC, averaged over the tags with positives and negatives."""
        return evaluate(_checked(X, y)[1], self.decision_function(X)).roc_auc

    def save(self, folder: str | Path, card: str = "") -> Path:
        """Write the probe's folder, in place of an older one, in one step: weights, JSON and card.

        `load_probe` reads it.

        Raises:
            SslAudioError: the folder cannot be written.
        """
        check_is_fitted(self)
        arrays = {
            f"{depth}.{name}": array
            for depth, layer in enumerate(self.probe_.layers)
            for name, array in zip(("weight", "bias"), layer, strict=True)
        }
        thresholds = [None] * len(self.tags_) if self.thresholds_ is None else self.thresholds_
        scale, shift = self.calibrator_.scale, self.calibrator_.shift
        columns = zip(self.tags_, thresholds, scale, shift, strict=True)
        config = {
            "version": __version__,
            "probe": {"kind": self.kind, "seed": self.seed, "single_label": self.single_label,
                      "settings": None if self.settings is None else asdict(self.settings)},
            "inputs": {"encoder": self.encoder_, "hop": self.hop_,
                       "dimensions": self.n_features_in_},
            "tags": [{"name": name, "threshold": None if cut is None else float(cut),
                      "scale": float(a), "shift": float(b)} for name, cut, a, b in columns],
            "about": self.about_,
        }  # fmt: skip
        return write_model_folder(folder, KIND, ModelFolder(config, arrays, card), WEIGHTS)


def load_probe(path: str | Path) -> Probe:
    """Read a probe: a folder, or the name of a shipped encoder whose shipped probe it is.

    Raises:
        CheckpointError: no such folder, a damaged one, or one of another kind or format.
    """
    return read_probe(path, _made)


def _made(how: Mapping[str, Any]) -> Probe:
    """A probe that is not trained yet; raises KeyError or TypeError of a damaged description."""
    settings = None if how["settings"] is None else LinearProbeSettings(**how["settings"])
    return Probe(how["kind"], settings, how["seed"], how["single_label"])


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
