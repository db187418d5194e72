"""Node features of MUSIG and GraphSAGE in a comparison."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ssl_audio.recommenders.baselines.svd import svd_vectors
from ssl_audio.recommenders.data.node_features import Scaler
from ssl_audio.recommenders.data.training_data import TrainingData

IDENTITY = "identity"


class NodeFeatures(NamedTuple):
    """Features of the tracks of a graph.

    Attributes:
        values: (tracks, d) float32.
        identity: number of the last columns, which tell which track it is.
        scaler: of the columns before these; None for degrees.
    """

    values: np.ndarray
    identity: int = 0
    scaler: Scaler | None = None


def known_features(
    data: TrainingData, groups: Sequence[str], missing: str
) -> tuple[np.ndarray, Scaler | None]:
    """(tracks, d) float32 columns of the groups except identity, and their scaling; d may be 0.

    Raises:
        SslAudioError: an unavailable group, or tracks without features with missing="refuse".
    """
    given = [group for group in groups if group != IDENTITY]
    return data.features(given, missing) if given else (np.zeros((data.tracks, 0), "f4"), None)


def node_features(
    data: TrainingData, groups: Sequence[str], missing: str, seed: int
) -> NodeFeatures:
    """`known_features` and, where it is a group, identity; without any group, the log of a track's
    degree."""
    if not groups:
        return NodeFeatures(np.log1p(data.graph.degree.astype(np.float32))[:, None])
    values, scaler = known_features(data, groups, missing)
    if IDENTITY not in groups:
        return NodeFeatures(values, 0, scaler)
    identity = identity_features(data, seed)
    return NodeFeatures(np.concatenate([values, identity], axis=1), identity.shape[1], scaler)


def identity_features(data: TrainingData, seed: int) -> np.ndarray:
    """(tracks, 64) float32 singular vectors of the training playlists (`svd_vectors`).

    Tracks that are often in the same playlists have similar ones. A track that is in none has the
    mean of the others.
    """
    found = svd_vectors(data.train, len(data.catalogue), seed=seed)
    trained = data.counts > 0
    found[~trained] = found[trained].mean(0)
    return found
