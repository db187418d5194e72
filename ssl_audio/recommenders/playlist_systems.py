"""The systems of a comparison on playlists, by their names in the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ssl_audio.recommenders.data.collection import codes_of
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.graph_models import PLAYLIST_ONLY, degree_features, train_graph_model
from ssl_audio.recommenders.scorers import Chance, Cosine, NextTrackLogits, Popularity, Recommender
from ssl_audio.recommenders.systems import (
    BY_TASK,
    BY_WEIGHTS,
    MAIN,
    MODEL,
    VECTORS,
    Role,
    Run,
    ScoreSystem,
    System,
    VectorSystem,
    folder_name,
    select_baselines,
)
from ssl_audio.settings.recommend import MusigSettings
from ssl_audio.settings.tree import plain

if TYPE_CHECKING:
    from ssl_audio.recommenders.models.m2grl import M2GRL
    from ssl_audio.recommenders.models.m2grl_batches import Views
    from ssl_audio.recommenders.models.transformer import PlaylistTransformer

PlaylistSystem = System[Recommender]
PUBLISHED_WEIGHTS = ((1, 1, 1), (1, 0, 0), (0.7, 0.1, 0.2), (0.4, 0.2, 0.4))  # section 4.2


@dataclass(frozen=True)
class PlaylistRun(Run):
    """A comparison on playlists."""

    data: TrainingData

    def place(self, label: str, table: str = MAIN) -> Path:
        """Folder of a system."""
        return self.folder / folder_name(f"{table} {label}")

    def scores(
        self, name: str, make: Callable[[], Recommender], features: str = ""
    ) -> PlaylistSystem:
        """A system that ranks by scores."""
        folder = self.place(f"{name} {features}")
        return ScoreSystem(name=name, features=features, folder=folder, make=make)

    def vectors(
        self,
        name: str,
        train: Callable[[Path], np.ndarray],
        features: str = "",
        table: str = MAIN,
        role: Role = Role.BASELINE,
    ) -> PlaylistSystem:
        """A system that ranks by the cosine of vectors."""
        return VectorSystem(
            name=name, features=features, folder=self.place(f"{name} {features}", table),
            tables=(table,), role=role, train=train, ranking=Cosine,
        )  # fmt: skip


def playlist_systems(run: PlaylistRun) -> dict[str, PlaylistSystem]:
    """All systems of a comparison, by key: baselines, models, and variants of MUSIG.

    Raises:
        SslAudioError: an unknown baseline, or features that are not available.
    """
    settings = run.settings
    baselines = select_baselines(BASELINES, settings.baselines, "playlists")
    listed = [system for make in baselines for system in make(run)]
    if settings.by_features:
        listed += _by_features(run)
    for name in settings.model:
        listed.append(MODELS[name](run))
        listed[-1].role, listed[-1].model = Role.MODEL, name
    if settings.by_task:
        listed += _by_task(run)
    if settings.by_weights:
        listed += [_musig(run, weights=weights, table=BY_WEIGHTS)
                   for weights in (*PUBLISHED_WEIGHTS, "learnt")]  # fmt: skip
    found: dict[str, PlaylistSystem] = {}
    for system in listed:  # a variant may be a model itself
        if system.key not in found or system.role is Role.MODEL:
            found[system.key] = system
    return found


def identity_of(run: PlaylistRun) -> dict[str, Any]:
    """The settings and inputs that determine what a comparison trains."""
    keys = ("seed", "stores", "missing", "graph", "musig", "m2grl", "transformer")
    values = plain(run.settings)
    cold = run.settings.completion.cold
    return {**{key: values[key] for key in keys}, "completion.cold": cold, **run.data.hashes}


# --- baselines -----------------------------------------------------------------------------------


def _warp(run: PlaylistRun, folder: Path) -> np.ndarray:
    from ssl_audio.recommenders.baselines.matrix_factorisation import warp_vectors

    return warp_vectors(run.data.train, len(run.data.catalogue), seed=run.seed)


def _track2vec(run: PlaylistRun, folder: Path) -> np.ndarray:
    from ssl_audio.recommenders.baselines.track2vec import Word2VecSettings, track2vec

    return track2vec(run.data.train, len(run.data.catalogue), Word2VecSettings(seed=run.seed))


def _track2vec_with(run: PlaylistRun, group: str, folder: Path) -> np.ndarray:
    """Track2Vec vectors concatenated with features."""
    from ssl_audio.recommenders.baselines.track2vec import concatenated

    kept = run.place("Track2Vec") / VECTORS
    vectors = np.load(kept) if kept.exists() else _track2vec(run, folder)
    return concatenated(vectors, run.data.features([group], run.settings.missing)[0])


def _node2vec(run: PlaylistRun, folder: Path) -> np.ndarray:
    from ssl_audio.recommenders.baselines.node2vec import Node2VecSettings, node2vec_vectors

    chosen = Node2VecSettings()
    chosen = replace(chosen, skip_gram=replace(chosen.skip_gram, seed=run.seed))
    return node2vec_vectors(run.data.graph, chosen)


def _centred_embeddings(run: PlaylistRun, folder: Path) -> np.ndarray:
    """Embeddings minus their mean over training tracks; with it, every cosine is close to 1."""
    data = run.data
    assert data.embeddings is not None
    mean = data.embeddings[data.has_audio & (data.counts > 0)].mean(0)
    return np.where(data.has_audio[:, None], data.embeddings - mean, 0)


def _embeddings(run: PlaylistRun) -> list[PlaylistSystem]:
    if run.data.embeddings is None:
        run.data.note("the baseline embeddings is left out: give stores.embeddings=")
        return []
    return [run.vectors("Audio embeddings", partial(_centred_embeddings, run))]


# --- MUSIG and GraphSAGE -------------------------------------------------------------------------


def _graph_system(
    run: PlaylistRun,
    name: str,
    groups: tuple[str, ...],
    settings: MusigSettings,
    role: Role,
    table: str = MAIN,
) -> PlaylistSystem:
    """A graph model; unavailable features are refused here, before any training."""
    _node_features(run, groups)
    assert run.data.graph.edges  # builds the graph, which raises if it has no edges
    if settings.weights == "learnt" or settings.weights[-1]:
        run.data.similarity_features(settings.similarity)
    train = partial(_train_graph_model, run, groups, settings)
    return run.vectors(name, train, ", ".join(groups), table, role)


def _musig(
    run: PlaylistRun,
    groups: tuple[str, ...] | None = None,
    weights: Literal["learnt"] | tuple[float, ...] | None = None,
    similarity: Literal["acoustic", "audio"] | None = None,
    table: str = MAIN,
) -> PlaylistSystem:
    """MUSIG; features, task weights and similarity default to the settings."""
    settings = run.settings.musig
    if weights is not None:
        settings = replace(settings, weights=weights)
    if similarity is not None:
        settings = replace(settings, similarity=similarity)
    name, role = "MUSIG", Role.VARIANT
    if table == BY_TASK:
        name = f"MUSIG, {similarity} task"
    elif table == BY_WEIGHTS:
        shown = weights if isinstance(weights, str) else ", ".join(f"{w:g}" for w in weights or ())
        name = f"MUSIG ({shown})"
        role = Role.REFERENCE if settings.weights == PLAYLIST_ONLY else role
    given = run.settings.features if groups is None else groups
    return _graph_system(run, name, given, settings, role, table)


def _graphsage(run: PlaylistRun, groups: tuple[str, ...]) -> PlaylistSystem:
    settings = replace(run.settings.musig, weights=PLAYLIST_ONLY)
    return _graph_system(run, "GraphSAGE", groups, settings, Role.REFERENCE)


def _by_features(run: PlaylistRun) -> list[PlaylistSystem]:
    """MUSIG's Table 2: Track2Vec, GraphSAGE and MUSIG with each group of features."""
    groups = tuple(run.data.groups)
    return [
        *(run.vectors("Track2Vec", partial(_track2vec_with, run, group), group, MAIN,
                      Role.REFERENCE) for group in groups),
        *(_graphsage(run, (group,)) for group in groups),
        *([_graphsage(run, groups)] if len(groups) > 1 else []),
        *(_musig(run, (group,)) for group in groups),
    ]  # fmt: skip


def _by_task(run: PlaylistRun) -> list[PlaylistSystem]:
    """MUSIG's Table 3: similarity task and features of audio and acoustic."""
    kinds: tuple[Literal["audio"], Literal["acoustic"]] = ("audio", "acoustic")
    return [_musig(run, (features,), similarity=similarity, table=BY_TASK)
            for similarity in kinds for features in reversed(kinds)]  # fmt: skip


def _train_graph_model(
    run: PlaylistRun, groups: tuple[str, ...], settings: MusigSettings, folder: Path
) -> np.ndarray:
    data = run.data
    features = _node_features(run, groups)
    genres, known = codes_of(data.catalogue.genres)
    weights = settings.weights
    if not known and (weights == "learnt" or weights[1]):
        data.note("no track has a genre: the genre task has nothing to learn from")
    if settings.similarity in data.groups:
        audio, has_audio = data.similarity_features(settings.similarity)
    else:  # the similarity task has no weight
        audio, has_audio = np.zeros((len(genres), 1), np.float32), np.zeros(len(genres), bool)
    fit = partial(run.fit, folder, "musig.steps", settings.steps)
    model = train_graph_model(
        features, data.graph, genres, audio, has_audio, settings, run.seed, fit
    )
    about = {"features": list(groups), "similarity": settings.similarity, "genres": data.genres,
             "popularity_counted": data.popularity_counted}  # fmt: skip
    scaler = data.features(groups, run.settings.missing)[1] if groups else None
    model.save(folder / MODEL, about, scaler)
    return model.vectors(features, data.graph)


def _node_features(run: PlaylistRun, groups: tuple[str, ...]) -> np.ndarray:
    if groups:
        return run.data.features(groups, run.settings.missing)[0]
    return degree_features(run.data.graph)


# --- M2GRL ---------------------------------------------------------------------------------------


def _m2grl(run: PlaylistRun) -> PlaylistSystem:
    """Views: tracks, and genres and artists if any are known."""
    from ssl_audio.recommenders.models.m2grl import M2GRL
    from ssl_audio.recommenders.models.m2grl_batches import catalogue_views

    views = catalogue_views(run.data.train, run.data.catalogue)
    # made here, so that a wrong number of task weights is refused before any training
    model = M2GRL(views[2], list(views[1]), run.settings.m2grl, run.seed)
    return run.vectors("M2GRL", partial(_train_m2grl, run, model, views))


def _train_m2grl(run: PlaylistRun, model: M2GRL, views: Views, folder: Path) -> np.ndarray:
    from ssl_audio.recommenders.models.m2grl_batches import M2GRLBatches

    settings = run.settings.m2grl
    batches = M2GRLBatches(*views, settings, run.seed)
    run.fit(folder, "m2grl.steps", settings.steps, model, batches, settings.clip)
    model.save(folder / MODEL)
    return np.where((run.data.counts > 0)[:, None], model.vectors(), 0)  # only of trained tracks


# --- the transformer -----------------------------------------------------------------------------


def _transformer(run: PlaylistRun) -> PlaylistSystem:
    """Track ids, artists and albums, and audio embeddings where they are given."""
    features = "" if run.data.embeddings is None else "embeddings"
    without = int((~run.data.has_audio).sum()) if features else 0
    if without:
        run.data.note(f"{without} tracks have no audio embedding; the transformer does without")
    folder = run.place(f"Transformer {features}")
    return run.scores(
        "Transformer", lambda: NextTrackLogits(_trained_transformer(run, folder)), features
    )


def _trained_transformer(run: PlaylistRun, folder: Path) -> PlaylistTransformer:
    from ssl_audio.recommenders.data.vocabulary import vocabulary_of
    from ssl_audio.recommenders.models.track_embedding import SideInformation
    from ssl_audio.recommenders.models.transformer import PlaylistTransformer, load_transformer
    from ssl_audio.recommenders.models.transformer_batches import TransformerBatches

    data, settings = run.data, run.settings.transformer
    has_audio = None if data.embeddings is None else data.has_audio
    kept = folder / MODEL
    if not kept.exists():
        vocabulary = vocabulary_of(data.train, len(data.catalogue))
        warm = data.validation.without_tracks(data.cold)  # like the test playlists
        rate = vocabulary.unknown_share(warm)
        batches = TransformerBatches(data.train, vocabulary, settings, rate, run.seed)
        side = SideInformation.of(data.catalogue, data.embeddings, has_audio)
        torch.manual_seed(run.seed)  # of the dropout
        model = PlaylistTransformer(vocabulary, settings, side, run.seed)
        run.fit(folder, "transformer.steps", settings.steps, model, batches)
        model.save(kept)
    return load_transformer(kept, data.embeddings, has_audio)


# --- registries, by the names of settings --------------------------------------------------------

BASELINES: dict[str, Callable[[PlaylistRun], list[PlaylistSystem]]] = {
    "random": lambda run: [run.scores("Random", lambda: Chance(run.seed))],
    "popularity": lambda run: [run.scores("Popularity", lambda: Popularity(run.data.counts))],
    "warp": lambda run: [run.vectors("CF (WARP)", partial(_warp, run))],
    "track2vec": lambda run: [run.vectors("Track2Vec", partial(_track2vec, run))],
    "node2vec": lambda run: [run.vectors("Node2Vec", partial(_node2vec, run))],
    "graphsage": lambda run: [_graphsage(run, ()), _graphsage(run, run.settings.features)],
    "embeddings": _embeddings,
}
MODELS: dict[str, Callable[[PlaylistRun], PlaylistSystem]] = {
    "musig": _musig,
    "m2grl": _m2grl,
    "transformer": _transformer,
}
