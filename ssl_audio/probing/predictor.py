"""Tags from embeddings by a probe that was saved, without what training it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from ssl_audio.io.errors import CheckpointError, first_line
from ssl_audio.io.model_folder import CONFIG, ModelFolder, read_model_folder
from ssl_audio.models.shipped import shipped_probe
from ssl_audio.probing.batched import TrainedProbe
from ssl_audio.probing.calibration import Calibrator
from ssl_audio.probing.probes import PROBES

KIND, WEIGHTS = "probe", "probe.safetensors"
Kind = TypeVar("Kind", bound="TagPredictor")


class TagPredictor:
    """What a trained probe predicts; `ssl_audio.Probe` is one that can be trained.

    Attributes:
        n_features_in_: dimensions of the embeddings.
        tags_: names of the tags, in the order of the columns.
        probe_: the trained layers.
        calibrator_: logits to probabilities.
        thresholds_: (tags,) probabilities from which on a tag is predicted; None if `single_label`.
        encoder_, hop_: `weights_hash` of the encoder whose embeddings it takes ("" if unknown), and
            seconds between the starts of their segments (None is a segment's length).
        about_: JSON values that describe its training.
    """

    single_label: bool
    encoder_: str
    hop_: float | None
    about_: dict[str, Any]

    def set_layers(
        self, trained: TrainedProbe, calibrator: Calibrator, thresholds: np.ndarray | None,
        tags: Sequence[str],
    ) -> None:  # fmt: skip
        """Set the attributes that predictions need.

        Raises:
            ValueError: names that are empty, given twice, or of another number than the tags.
        """
        count = len(trained.layers[-1][1])
        named = all(isinstance(tag, str) and tag for tag in tags)
        if len(tags) != count or len(set(tags)) < count or not named:
            raise ValueError(f"{count} tags need as many different names, not {list(tags)}")
        self.probe_, self.calibrator_, self.thresholds_ = trained, calibrator, thresholds
        self.tags_, self.n_features_in_ = tuple(tags), len(trained.layers[0][0])

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """(rows, tags) logits, not calibrated."""
        x = np.asarray(X)
        if x.ndim != 2 or x.shape[1] != self.n_features_in_:
            raise ValueError(f"X must be (rows, {self.n_features_in_}), not {x.shape}")
        return self.probe_.scores(x)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """(rows, tags) calibrated probabilities, 0 to 1."""
        logits = self.decision_function(X)  # refuses a probe that is not trained
        return self.calibrator_(logits)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """(rows, tags) 0 or 1: tags from their thresholds on, or the most probable one."""
        return self.decide(self.predict_proba(X))

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """(rows, tags) 0 or 1 by the (rows, tags) probabilities of `predict_proba`."""
        if self.thresholds_ is None:
            return np.eye(len(self.tags_), dtype=np.int64)[probabilities.argmax(1)]
        return (probabilities >= self.thresholds_).astype(np.int64)


def load_predictor(path: str | Path) -> TagPredictor:
    """Read a probe as `load_probe` does, to predict alone: scikit-learn is not imported."""
    return read_probe(path, _predictor)


def _predictor(how: Mapping[str, Any]) -> TagPredictor:
    made = TagPredictor()
    made.single_label = how["single_label"]
    return made


def read_probe(path: str | Path, make: Callable[[Mapping[str, Any]], Kind]) -> Kind:
    """Read a probe into what `make` makes of its kind, settings, seed and `single_label`.

    Raises:
        CheckpointError: no such folder, a damaged one, or one of another kind or format.
    """
    folder = shipped_probe(str(path)) or Path(path)
    read = read_model_folder(folder, KIND, WEIGHTS)
    try:
        return _filled(read, make)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else first_line(error)
        raise CheckpointError(f"{folder / CONFIG} or {WEIGHTS} is damaged: {reason}") from error


def _filled(read: ModelFolder, make: Callable[[Mapping[str, Any]], Kind]) -> Kind:
    """What the files of a folder describe.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is damaged.
    """
    config, how = read.config, read.config["probe"]
    if how["kind"] not in PROBES or not isinstance(how["single_label"], bool):
        raise ValueError(f"probe={how}")
    tags = config["tags"]
    layers = _layers(read.arrays, config["inputs"]["dimensions"], len(tags))
    probe = make(how)
    numbers = ("scale", "shift") if probe.single_label else ("scale", "shift", "threshold")
    found = {key: np.array([tag[key] for tag in tags], np.float64) for key in numbers}
    if not all(np.isfinite(each).all() for each in found.values()) or (found["scale"] <= 0).any():
        raise ValueError("thresholds and calibration are finite numbers, scales positive ones")
    calibrator = Calibrator(found["scale"], found["shift"], probe.single_label)
    names = [tag["name"] for tag in tags]
    probe.set_layers(TrainedProbe(layers, []), calibrator, found.get("threshold"), names)
    probe.encoder_, probe.hop_ = str(config["inputs"]["encoder"]), config["inputs"]["hop"]
    if not (probe.hop_ is None or float(probe.hop_) > 0):
        raise ValueError(f"hop={probe.hop_}")
    probe.about_ = dict(config["about"])
    return probe


def _layers(
    arrays: Mapping[str, np.ndarray], dimensions: int, tags: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Layers whose shapes follow each other.

    Raises:
        KeyError, ValueError: they do not.
    """
    layers, width = [], dimensions
    for depth in range(max(1, len(arrays) // 2)):
        weight, bias = arrays[f"{depth}.weight"], arrays[f"{depth}.bias"]
        if weight.shape != (width, bias.size) or bias.ndim != 1:
            raise ValueError(f"layer {depth}: {weight.shape} and {bias.shape} for {width} inputs")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError(f"layer {depth} is not finite")
        layers.append((weight, bias))
        width = bias.size
    if width != tags or len(arrays) != 2 * len(layers):
        raise ValueError(f"{len(arrays)} arrays, {width} outputs and {tags} tags")
    return layers
