"""MUSIG and GraphSAGE as recommenders, with their variants (MUSIG, Tables 2 and 3)."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.baselines.track2vec import Track2Vec
from ssl_audio.recommenders.data.collection import codes_of
from ssl_audio.recommenders.data.graph import with_edges
from ssl_audio.recommenders.data.sampling import PairSampler
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.graph_models import IDENTITY, known_features, node_features
from ssl_audio.recommenders.models.musig import Musig, load_musig
from ssl_audio.recommenders.models.musig_training import MusigTraining, PairBatches
from ssl_audio.recommenders.recommender import (
    MODEL,
    InductiveModel,
    Recommender,
    Space,
    VectorRecommender,
)
from ssl_audio.recommenders.tables import BY_TASK, BY_WEIGHTS, MAIN, Role
from ssl_audio.settings.recommend import MusigSettings, RecommendSettings

PLAYLIST_ONLY = (1.0, 0.0, 0.0)  # task weights of GraphSAGE
Weights = Literal["learnt"] | tuple[float, ...]
PUBLISHED_WEIGHTS = ((1, 1, 1), (1, 0, 0), (0.7, 0.1, 0.2), (0.4, 0.2, 0.4))  # section 4.2
SPACE: Space = {
    "musig.dimensions": (64, 128, 256), "musig.learning_rate": (1e-3, 3e-3, 1e-2),
    "musig.steps": (750, 1500, 3000, 6000), "musig.negatives": (5, 20),
    "musig.negative_power": (0.5, 0.75, 1.0), "musig.isolated": (0.1, 0.3),
    "musig.identity_dropout": (0.1, 0.2, 0.5),
    "musig.weights": ((0.7, 0.1, 0.2), (0.9, 0.05, 0.05), (1.0, 0.0, 0.0)),
}  # fmt: skip
SESSION_SPACE: Space = {
    "m2grl.session_steps.graphsage": (300, 600, 1200), "m2grl.dimensions": (32, 64, 128),
}  # fmt: skip
SESSION_RATE = 3e-3  # learning rate of GraphSAGE on sessions


class GraphRecommender(VectorRecommender):
    """A graph model; features that are not available are refused when it is made.

    Args:
        groups: of node features; (): a track's number of neighbours; None: those of the settings.
        chosen: its own settings; None: those of the settings.
    """

    def __init__(
        self, settings: RecommendSettings, data: TrainingData,
        groups: tuple[str, ...] | None = None, chosen: MusigSettings | None = None,
        name: str = "MUSIG", role: Role = Role.VARIANT, table: str = MAIN,
    ) -> None:  # fmt: skip
        super().__init__(settings, data)
        self.groups = settings.features if groups is None else groups
        self.chosen, self.name, self.role, self.tables = (
            chosen or settings.musig, name, role, (table,)
        )  # fmt: skip
        self.features = ", ".join(self.groups)
        self.space = SPACE
        if data.in_sessions:
            self.space = SESSION_SPACE
        elif self.chosen.weights == PLAYLIST_ONLY:
            self.space = {key: tried for key, tried in SPACE.items() if key != "musig.weights"}
        known_features(data, self.groups, settings.missing)  # refuses what is not available
        with_edges(data.graph)
        if self.chosen.weights == "learnt" or self.chosen.weights[-1]:
            data.similarity_features(self.chosen.similarity)

    def train(self, folder: Path) -> np.ndarray:
        data, chosen, seed = self.data, self.chosen, self.settings.seed
        nodes = node_features(data, self.groups, self.settings.missing, seed)
        genres, known = codes_of(data.catalogue.genres)
        if not known and (chosen.weights == "learnt" or chosen.weights[1]):
            data.note("no track has a genre: the genre task has nothing to learn from")
        if chosen.similarity in data.groups:
            audio, has_audio = data.similarity_features(chosen.similarity)
        else:  # the similarity task has no weight
            audio, has_audio = np.zeros((len(genres), 1), np.float32), np.zeros(len(genres), bool)
        torch.manual_seed(seed)
        model = Musig(nodes.values.shape[1], chosen, nodes.identity)
        model.standardise.fit(nodes.values[data.counts > 0])
        training = MusigTraining(model, nodes.values, data.graph, genres, audio, has_audio)
        pairs = PairSampler(
            data.graph, chosen.batch_size, chosen.negatives, seed, chosen.negative_power,
            by_weight=chosen.pairs == "by_weight",
        )  # fmt: skip
        on_sessions = self.settings.m2grl.session_steps.graphsage
        steps = on_sessions if data.in_sessions else chosen.steps
        self.fit_model(folder, steps, training, PairBatches(pairs, seed))
        model.scaler = nodes.scaler
        model.about = {
            "features": list(self.groups), "similarity": chosen.similarity, "genres": data.genres,
            "popularity_counted": data.popularity_counted,
        }  # fmt: skip
        model.save(folder / MODEL)
        vectors = model.vectors(nodes.values, data.graph)
        return data.in_training(vectors) if data.in_sessions else vectors

    @staticmethod
    def inductive(folder: Path) -> InductiveModel:
        """The saved model.

        Raises:
            SslAudioError: it was trained without features.
        """
        model = load_musig(folder / MODEL)
        scaler, about = model.scaler, model.about
        features = [name for name in about["features"] if name != IDENTITY]  # new tracks lack it
        if scaler is None or not features:
            raise SslAudioError(f"{folder}: trained without features of new tracks")
        return InductiveModel(
            features, about["genres"], about["popularity_counted"],
            lambda groups, graph: model.vectors(scaler.matrix(groups), graph),
        )  # fmt: skip


def graphsage(settings: RecommendSettings, data: TrainingData) -> list[GraphRecommender]:
    """GraphSAGE without features and, on playlists, with those of the settings.

    On sessions it is M2GRL's baseline, with the dimensions of M2GRL (section A.3).
    """
    chosen = replace(settings.musig, weights=PLAYLIST_ONLY)
    kinds = [(), settings.features]
    if data.in_sessions:
        chosen = MusigSettings(
            weights=PLAYLIST_ONLY, dimensions=settings.m2grl.dimensions, learning_rate=SESSION_RATE
        )
        kinds = [()]
    role = Role.REFERENCE
    return [GraphRecommender(settings, data, k, chosen, "GraphSAGE", role) for k in kinds]


def by_features(settings: RecommendSettings, data: TrainingData) -> list[Recommender]:
    """MUSIG's Table 2: Track2Vec, GraphSAGE and MUSIG with each group of features."""
    groups = tuple(data.groups)
    every = [(group,) for group in groups]
    alone = replace(settings.musig, weights=PLAYLIST_ONLY)
    return [
        *(Track2Vec(settings, data, group) for group in groups),
        *(GraphRecommender(settings, data, some, alone, "GraphSAGE", Role.REFERENCE)
          for some in (every + [groups] if len(groups) > 1 else every)),
        *(GraphRecommender(settings, data, some) for some in every),
    ]  # fmt: skip


def by_task(settings: RecommendSettings, data: TrainingData) -> list[Recommender]:
    """MUSIG's Table 3: similarity task and features of audio and acoustic."""
    kinds: tuple[Literal["audio"], Literal["acoustic"]] = ("audio", "acoustic")
    return [
        GraphRecommender(
            settings, data, (features,), replace(settings.musig, similarity=kind),
            f"MUSIG, {kind} task", table=BY_TASK,
        ) for kind in kinds for features in reversed(kinds)
    ]  # fmt: skip


def by_weights(settings: RecommendSettings, data: TrainingData) -> list[Recommender]:
    """MUSIG with each of its published task weights, and with learnt ones."""
    choices: tuple[Weights, ...] = (*PUBLISHED_WEIGHTS, "learnt")
    found: list[Recommender] = []
    for weights in choices:
        shown = weights if isinstance(weights, str) else ", ".join(f"{w:g}" for w in weights)
        chosen = replace(settings.musig, weights=weights)
        role = Role.REFERENCE if chosen.weights == PLAYLIST_ONLY else Role.VARIANT
        found.append(GraphRecommender(
            settings, data, None, chosen, f"MUSIG ({shown})", role, BY_WEIGHTS
        ))  # fmt: skip
    return found
