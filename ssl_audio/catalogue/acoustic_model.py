"""Eight acoustic features of a track: a linear projection of its embedding, scaled to 0 to 1.

The projection is learnt from playlists (`siamese`), or holds principal components.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.io.model_folder import ModelFolder, read_model_folder, write_model_folder

DIMENSIONS = 8
WINDOW = 30.0  # seconds
KIND = "acoustic"
_ARRAYS = ("weight", "bias", "low", "high")


@dataclass(frozen=True)
class Windows:
    """Embeddings of windows of tracks."""

    vectors: np.ndarray  # (windows of all tracks, dimensions) float32
    offsets: np.ndarray  # (tracks + 1,) starts of each track's windows; one window or more each

    def means(self) -> np.ndarray:
        """(tracks, dimensions) float32, mean over a track's windows."""
        sums = np.add.reduceat(self.vectors, self.offsets[:-1], axis=0, dtype=np.float64)
        return (sums / np.diff(self.offsets)[:, None]).astype(np.float32)


def windows_of(
    segments: Iterator[tuple[str, np.ndarray, np.ndarray]], ids: Sequence[str]
) -> Windows:
    """Means over the segments that start in each 30 s.

    Args:
        segments: id, times (n,), vectors (n, dimensions) of each track, in the order of `ids`.
    """
    rows, counts = [], []
    for expected, (track, times, vectors) in zip(ids, segments, strict=True):
        assert track == expected
        window = (times // WINDOW).astype(int)
        starts = np.flatnonzero(np.diff(window, prepend=-1))
        sums = np.add.reduceat(vectors, starts, axis=0, dtype=np.float64)
        rows.append((sums / np.diff(np.append(starts, len(times)))[:, None]).astype(np.float32))
        counts.append(len(starts))
    return Windows(np.concatenate(rows), np.cumsum([0, *counts]))


@dataclass(frozen=True)
class AcousticModel:
    """A fitted projection from embeddings to acoustic features."""

    method: str  # "siamese" or "pca"
    weight: np.ndarray  # (8, dimensions)
    bias: np.ndarray  # (8,)
    low: np.ndarray  # (8,) minimum over the training tracks, which becomes 0
    high: np.ndarray  # (8,) maximum, which becomes 1
    about: Mapping[str, Any]  # JSON values that describe its training

    @staticmethod
    def scaled(
        method: str, weight: np.ndarray, centre: np.ndarray, embeddings: np.ndarray,
        about: Mapping[str, Any],
    ) -> AcousticModel:  # fmt: skip
        """A projection scaled to the range of the training tracks.

        Args:
            weight: (8, dimensions).
            centre: (dimensions,) the embedding that is projected to 0.
            embeddings: (tracks, dimensions) of the training tracks.
        """
        bias = (-weight @ centre).astype(np.float32)
        weight = weight.astype(np.float32)
        raw = embeddings @ weight.T + bias
        return AcousticModel(method, weight, bias, raw.min(0), raw.max(0), about)

    def features(self, embeddings: np.ndarray) -> np.ndarray:
        """(tracks, dimensions) to (tracks, 8) float32, clipped to 0 to 1.

        Raises:
            SslAudioError: embeddings of another shape.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.weight.shape[1]:
            raise SslAudioError(
                f"the acoustic model takes (tracks, {self.weight.shape[1]}) embeddings, not "
                f"{embeddings.shape}"
            )
        raw = embeddings @ self.weight.T + self.bias
        span = np.where(self.high > self.low, self.high - self.low, 1.0)
        return np.clip((raw - self.low) / span, 0.0, 1.0).astype(np.float32)

    @property
    def hash(self) -> str:
        """SHA-256 of the weights."""
        digest = hashlib.sha256(self.method.encode())
        for array in (self.weight, self.bias, self.low, self.high):
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write the model's folder in one step.

        Raises:
            SslAudioError: it cannot be written.
        """
        arrays = {name: np.asarray(getattr(self, name), np.float32) for name in _ARRAYS}
        config = {"method": self.method, "about": dict(self.about)}
        write_model_folder(folder, KIND, ModelFolder(config, arrays))


def load_acoustic(folder: Path) -> AcousticModel:
    """Read an acoustic model.

    Raises:
        CheckpointError: no such folder, or a damaged one.
    """
    read = read_model_folder(folder, KIND)
    try:
        arrays = {name: read.arrays[name] for name in _ARRAYS}
        return AcousticModel(read.config["method"], about=read.config["about"], **arrays)
    except KeyError as error:
        raise CheckpointError(f"{folder} is damaged: no {error}") from error


def fit_pca(windows: Windows, about: Mapping[str, Any]) -> AcousticModel:
    """The first eight principal components of the tracks' mean embeddings, whitened.

    Raises:
        SslAudioError: fewer than 9 tracks or dimensions.
    """
    from sklearn.decomposition import PCA

    means = windows.means()
    if min(means.shape) <= DIMENSIONS:
        raise SslAudioError(
            f"features of {means.shape[0]} tracks with {means.shape[1]} dimensions are too few: "
            f"{DIMENSIONS + 1} or more of both"
        )
    pca = PCA(DIMENSIONS, whiten=True, svd_solver="full").fit(means)
    weight = pca.components_ / np.sqrt(pca.explained_variance_)[:, None]
    explained = float(pca.explained_variance_ratio_.sum())
    return AcousticModel.scaled(
        "pca", weight, pca.mean_, means, {**about, "explained_variance": explained}
    )
