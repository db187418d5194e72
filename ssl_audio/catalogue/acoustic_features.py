"""Stores of compact features: acoustic ones from a store of embeddings, descriptors from audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.audio import files
from ssl_audio.audio.files import SAMPLE_RATE
from ssl_audio.catalogue.acoustic_model import (
    AcousticModel,
    SiameseSettings,
    Windows,
    fit_pca,
    fit_siamese,
    membership,
    whole_tracks,
    windows_of,
)
from ssl_audio.catalogue.descriptors import descriptors, normalised
from ssl_audio.catalogue.embedding import Failure, Item, sha256_of
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.stores.feature_store import Row, Stored, read_rows, read_segments, read_store


def fit(
    features: str,
    kind: str,
    playlists: Sequence[tuple[str, str]] | None,
    settings: SiameseSettings,
) -> AcousticModel:
    """Fit an acoustic model to a store of embeddings.

    Args:
        features: the store.
        kind: "siamese", "pca", or "auto": siamese where there are playlists.
        playlists: (playlist, track) pairs.
        settings: of the siamese training.

    Raises:
        SslAudioError: a store of something else, playlists that are wanted or cannot be used.
    """
    stored = read_store(features)
    if stored.about.get("kind") != "embedding":
        raise SslAudioError(f"features={features} holds {stored.about.get('kind')}, no embeddings")
    kind = kind if kind != "auto" else "siamese" if playlists else "pca"
    windows = _windows(features, stored)
    about = {"encoder": stored.about["model"], "tracks": len(stored.ids)}
    if kind == "pca":
        return fit_pca(windows, about)
    if not playlists:
        raise SslAudioError("kind=siamese learns from playlists=; without them: kind=pca")
    matrix = membership(playlists, stored.ids)
    return fit_siamese(windows, matrix, about, settings)


def _windows(features: str, stored: Stored) -> Windows:
    if not stored.about.get("segments"):
        return whole_tracks(stored.vectors)
    return windows_of(read_segments(features), stored.ids)


def acoustic_rows(features: str, model: AcousticModel) -> Iterator[Row]:
    """The acoustic features of a store's tracks, a row group at a time."""
    for row in read_rows(features):
        vector = model.features(row.vector[None])[0]
        yield Row(row.id, row.path, row.duration, row.sha256, vector)


def describe_item(item: Item) -> Row | Failure:
    """One track's 42 descriptors, 0 to 1, or why there are none."""
    path = files.printable(str(item.path))
    try:
        waveform = files.read(item.path)
        digest = sha256_of(item.path)
    except AudioError as error:
        return Failure(item.id, path, str(error))
    return Row(
        item.id, path, len(waveform) / SAMPLE_RATE, digest, describe_waveform(waveform)
    )  # fmt: skip


def describe_waveform(waveform: np.ndarray) -> np.ndarray:
    """The 42 descriptors of (samples,) at 16 kHz, each 0 to 1: (42,)."""
    return normalised(descriptors(waveform))


def tag_correlations(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each feature with each tag: (d, tags); NaN where one is constant.

    With a tag of 0 and 1 this is the point-biserial correlation.

    Args:
        features: (tracks, d).
        targets: (tracks, tags), 0 or 1.
    """
    x = features - features.mean(0, dtype=np.float64)
    y = targets - targets.mean(0, dtype=np.float64)
    scale = np.sqrt((x**2).sum(0))[:, None] * np.sqrt((y**2).sum(0))
    return np.divide(x.T @ y, scale, out=np.full(scale.shape, np.nan), where=scale > 1e-12)


def rows_of_tags(
    stored: Stored, paths: list[Path], targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The features and the tags of the tracks that both know, matched by their files.

    Raises:
        SslAudioError: there is none.
    """
    row: dict[Any, int] = {Path(path).resolve(): k for k, path in enumerate(stored.paths)}
    found = [(row[p], k) for k, path in enumerate(paths) if (p := path.resolve()) in row]
    if not found:
        raise SslAudioError("tags=: none of the dataset's files is in the features")
    mine, theirs = np.array(found).T
    return stored.vectors[mine], targets[theirs]
