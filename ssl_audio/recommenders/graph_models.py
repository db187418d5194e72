"""Training of MUSIG and GraphSAGE in a comparison, and their node features."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ssl_audio.recommenders.baselines.svd import svd_vectors
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.node_features import Scaler
from ssl_audio.recommenders.data.sampling import PairSampler
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.models.musig import Musig
from ssl_audio.recommenders.models.musig_training import MusigTraining, PairBatches
from ssl_audio.settings.recommend import MusigSettings

PLAYLIST_ONLY = (1.0, 0.0, 0.0)  # task weights of GraphSAGE
IDENTITY = "identity"


class NodeFeatures(NamedTuple):
    """Features of the tracks of a graph.

    Attributes:
        values: (tracks, d) float32.
        trained: (tracks,) bool, True for tracks in training playlists.
        identity: number of the last columns, which tell which track it is.
        scaler: of the columns before these; None for degrees.
    """

    values: np.ndarray
    trained: np.ndarray
    identity: int = 0
    scaler: Scaler | None = None


def train_graph_model(
    nodes: NodeFeatures,
    graph: TrackGraph,
    genres: np.ndarray,
    audio: np.ndarray,
    has_audio: np.ndarray,
    settings: MusigSettings,
    seed: int,
    fit: Callable[[torch.nn.Module, Any], None],
) -> Musig:
    """A trained MUSIG; GraphSAGE if all weight is on the playlist task.

    The data are those of `MusigTraining`; `fit` trains a model on batches.
    """
    torch.manual_seed(seed)
    model = Musig(nodes.values.shape[1], settings, nodes.identity)
    model.standardise.fit(nodes.values[nodes.trained])
    training = MusigTraining(model, nodes.values, graph, genres, audio, has_audio)
    pairs = PairSampler(
        graph, settings.batch_size, settings.negatives, seed,
        negative_power=settings.negative_power, by_weight=settings.pairs == "by_weight",
    )  # fmt: skip
    fit(training, PairBatches(pairs, seed))
    return model


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
    """`known_features` and, where it is a group, identity; without any group, those of degrees."""
    if not groups:
        return degree_features(data.graph, data.counts > 0)
    values, scaler = known_features(data, groups, missing)
    if IDENTITY not in groups:
        return NodeFeatures(values, data.counts > 0, 0, scaler)
    identity = identity_features(data, seed)
    both = np.concatenate([values, identity], axis=1)
    return NodeFeatures(both, data.counts > 0, identity.shape[1], scaler)


def identity_features(data: TrainingData, seed: int) -> np.ndarray:
    """(tracks, 64) float32 singular vectors of the training playlists (`svd_vectors`).

    Tracks that are often in the same playlists have similar ones. A track that is in none has the
    mean of the others.
    """
    found = svd_vectors(data.train, len(data.catalogue), seed=seed)
    trained = data.counts > 0
    found[~trained] = found[trained].mean(0)
    return found


def degree_features(graph: TrackGraph, trained: np.ndarray) -> NodeFeatures:
    """The log of a track's degree, one column."""
    degrees = np.log1p(graph.degree.astype(np.float32))
    return NodeFeatures(degrees[:, None], trained)
