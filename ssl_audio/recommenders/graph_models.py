"""Training of MUSIG and GraphSAGE in a comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.sampling import PairSampler
from ssl_audio.recommenders.models.musig import Musig
from ssl_audio.recommenders.models.musig_training import MusigTraining, PairBatches
from ssl_audio.settings.recommend import MusigSettings

PLAYLIST_ONLY = (1.0, 0.0, 0.0)  # task weights of GraphSAGE


def train_graph_model(
    features: np.ndarray,
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
    model = Musig(features.shape[1], settings)
    training = MusigTraining(model, features, graph, genres, audio, has_audio)
    pairs = PairSampler(
        graph, settings.batch_size, settings.negatives, seed,
        negative_power=settings.negative_power,
    )  # fmt: skip
    fit(training, PairBatches(pairs, seed))
    return model


def degree_features(graph: TrackGraph) -> np.ndarray:
    """(tracks, 2) float32 in [0, 1]: the scaled log of a track's degree, and a constant."""
    degrees = np.log1p(graph.degree.astype(np.float32))
    return np.stack([degrees / degrees.max(), np.ones_like(degrees)], axis=1)
