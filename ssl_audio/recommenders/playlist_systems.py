"""The systems of a comparison on playlists: one function or line for each name of settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ssl_audio.recommenders.baselines.artist_popularity import ArtistPopularity
from ssl_audio.recommenders.baselines.ease import Ease
from ssl_audio.recommenders.baselines.factors import FoldedIn, als_vectors, bpr_vectors
from ssl_audio.recommenders.baselines.item_cf import ItemCF
from ssl_audio.recommenders.baselines.matrix_factorisation import warp_vectors
from ssl_audio.recommenders.baselines.node2vec import Node2VecSettings, node2vec_vectors
from ssl_audio.recommenders.baselines.playlist_knn import PlaylistKNN
from ssl_audio.recommenders.baselines.pmi import pmi
from ssl_audio.recommenders.baselines.svd import svd_vectors
from ssl_audio.recommenders.baselines.track2vec import Word2VecSettings, concatenated, track2vec
from ssl_audio.recommenders.data.collection import Playlists, codes_of
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.data.vocabulary import vocabulary_of
from ssl_audio.recommenders.graph_models import (
    PLAYLIST_ONLY,
    check_groups,
    node_features,
    train_graph_model,
)
from ssl_audio.recommenders.models.m2grl import M2GRL
from ssl_audio.recommenders.models.m2grl_batches import M2GRLBatches, catalogue_views
from ssl_audio.recommenders.models.track_embedding import SideInformation
from ssl_audio.recommenders.models.transformer import PlaylistTransformer, load_transformer
from ssl_audio.recommenders.models.transformer_batches import TransformerBatches
from ssl_audio.recommenders.scorers import (
    Chance,
    Cosine,
    InnerProduct,
    NextTrackLogits,
    Popularity,
    Recommender,
)
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

PlaylistRun = Run[TrainingData]
PlaylistSystem = System[TrainingData, Recommender]
Weights = Literal["learnt"] | tuple[float, ...]
PUBLISHED_WEIGHTS = ((1, 1, 1), (1, 0, 0), (0.7, 0.1, 0.2), (0.4, 0.2, 0.4))  # section 4.2


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
        listed += _by_weights(run)
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


def _scores(
    run: PlaylistRun, name: str, make: Callable[[PlaylistRun, Path], Recommender], **options: Any
) -> PlaylistSystem:
    return ScoreSystem(name=name, run=run, make=make, **options)


def _vectors(
    run: PlaylistRun, name: str, train: Callable[[PlaylistRun, Path], np.ndarray],
    ranking: Callable[[np.ndarray], Recommender] = Cosine, **options: Any,
) -> PlaylistSystem:  # fmt: skip
    return VectorSystem(name=name, run=run, train=train, ranking=ranking, **options)


# --- baselines -----------------------------------------------------------------------------------


def _of_playlists(
    run: PlaylistRun, name: str, make: Callable[[Playlists, int], Recommender]
) -> PlaylistSystem:
    """A recommender that needs the training playlists alone, and is made anew by every run."""
    return _scores(run, name, lambda run, _: make(run.data.train, len(run.data.catalogue)))


def _factors(
    run: PlaylistRun, name: str, train: Callable[..., np.ndarray],
    ranking: Callable[[np.ndarray], Recommender] = Cosine,
) -> PlaylistSystem:  # fmt: skip
    """Vectors that are learnt from the training playlists alone."""

    def vectors(run: PlaylistRun, folder: Path) -> np.ndarray:
        return train(run.data.train, len(run.data.catalogue), seed=run.seed)

    return _vectors(run, name, vectors, ranking)


def _track2vec(run: PlaylistRun, folder: Path) -> np.ndarray:
    return track2vec(run.data.train, len(run.data.catalogue), Word2VecSettings(seed=run.seed))


def _track2vec_with(group: str, run: PlaylistRun, folder: Path) -> np.ndarray:
    """Track2Vec's vectors, concatenated with features."""
    kept = run.folder / folder_name("Track2Vec") / VECTORS
    vectors = np.load(kept) if kept.exists() else _track2vec(run, folder)
    return concatenated(vectors[0], run.data.features([group], run.settings.missing)[0])


def _node2vec(run: PlaylistRun, folder: Path) -> np.ndarray:
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
    if not (run.data.has_audio & (run.data.counts > 0)).any():
        run.data.note("the baseline embeddings is left out: no training track has an embedding")
        return []
    return [_vectors(run, "Audio embeddings", _centred_embeddings)]


# --- MUSIG and GraphSAGE -------------------------------------------------------------------------


def _graph_system(
    run: PlaylistRun, name: str, groups: tuple[str, ...], settings: MusigSettings, role: Role,
    table: str = MAIN,
) -> PlaylistSystem:  # fmt: skip
    """A graph model; features that are not available are refused here, before any training."""
    check_groups(run.data, groups, run.settings.missing)
    assert run.data.graph.edges  # an empty graph is refused
    if settings.weights == "learnt" or settings.weights[-1]:
        run.data.similarity_features(settings.similarity)
    train = partial(_train_graph_model, groups, settings)
    return _vectors(run, name, train, features=", ".join(groups), tables=(table,), role=role)


def _musig(run: PlaylistRun, groups: tuple[str, ...] | None = None) -> PlaylistSystem:
    """MUSIG as in the settings, or with other features."""
    given = run.settings.features if groups is None else groups
    return _graph_system(run, "MUSIG", given, run.settings.musig, Role.VARIANT)


def _graphsage(run: PlaylistRun, groups: tuple[str, ...]) -> PlaylistSystem:
    settings = replace(run.settings.musig, weights=PLAYLIST_ONLY)
    return _graph_system(run, "GraphSAGE", groups, settings, Role.REFERENCE)


def _by_features(run: PlaylistRun) -> list[PlaylistSystem]:
    """MUSIG's Table 2: Track2Vec, GraphSAGE and MUSIG with each group of features."""
    groups = tuple(run.data.groups)
    return [
        *(_vectors(run, "Track2Vec", partial(_track2vec_with, group), features=group,
                   role=Role.REFERENCE) for group in groups),
        *(_graphsage(run, (group,)) for group in groups),
        *([_graphsage(run, groups)] if len(groups) > 1 else []),
        *(_musig(run, (group,)) for group in groups),
    ]  # fmt: skip


def _by_task(run: PlaylistRun) -> list[PlaylistSystem]:
    """MUSIG's Table 3: similarity task and features of audio and acoustic."""
    kinds: tuple[Literal["audio"], Literal["acoustic"]] = ("audio", "acoustic")
    return [
        _graph_system(run, f"MUSIG, {kind} task", (features,),
                      replace(run.settings.musig, similarity=kind), Role.VARIANT, BY_TASK)
        for kind in kinds for features in reversed(kinds)
    ]  # fmt: skip


def _by_weights(run: PlaylistRun) -> list[PlaylistSystem]:
    """MUSIG with each of its published task weights, and with learnt ones."""
    choices: tuple[Weights, ...] = (*PUBLISHED_WEIGHTS, "learnt")
    found = []
    for weights in choices:
        shown = weights if isinstance(weights, str) else ", ".join(f"{w:g}" for w in weights)
        settings = replace(run.settings.musig, weights=weights)
        role = Role.REFERENCE if settings.weights == PLAYLIST_ONLY else Role.VARIANT
        found.append(_graph_system(run, f"MUSIG ({shown})", run.settings.features, settings, role,
                                   BY_WEIGHTS))  # fmt: skip
    return found


def _train_graph_model(
    groups: tuple[str, ...], settings: MusigSettings, run: PlaylistRun, folder: Path
) -> np.ndarray:
    data = run.data
    nodes = node_features(data, groups, run.settings.missing, run.seed)
    genres, known = codes_of(data.catalogue.genres)
    if not known and (settings.weights == "learnt" or settings.weights[1]):
        data.note("no track has a genre: the genre task has nothing to learn from")
    if settings.similarity in data.groups:
        audio, has_audio = data.similarity_features(settings.similarity)
    else:  # the similarity task has no weight
        audio, has_audio = np.zeros((len(genres), 1), np.float32), np.zeros(len(genres), bool)
    fit = partial(run.fit, folder, "musig.steps", settings.steps)
    model = train_graph_model(nodes, data.graph, genres, audio, has_audio, settings, run.seed, fit)
    about = {"features": list(groups), "similarity": settings.similarity, "genres": data.genres,
             "popularity_counted": data.popularity_counted}  # fmt: skip
    model.save(folder / MODEL, about, nodes.scaler)
    return model.vectors(nodes.values, data.graph)


# --- M2GRL and the transformer -------------------------------------------------------------------


def _m2grl(run: PlaylistRun) -> PlaylistSystem:
    """Views of tracks, genres and artists, as far as they are known."""
    settings = run.settings.m2grl
    views = catalogue_views(run.data.train, run.data.catalogue)
    # made here, so that a wrong number of task weights is refused before any training
    model = M2GRL(views[2], list(views[1]), settings, run.seed)

    def train(run: PlaylistRun, folder: Path) -> np.ndarray:
        batches = M2GRLBatches(*views, settings, run.seed)
        run.fit(folder, "m2grl.steps", settings.steps, model, batches, settings.clip)
        model.save(folder / MODEL)
        return np.where((run.data.counts > 0)[:, None], model.vectors(), 0)  # others: no training

    return _vectors(run, "M2GRL", train, InnerProduct)


def _transformer(run: PlaylistRun) -> PlaylistSystem:
    """Track ids, artists and albums, and audio embeddings where they are given."""
    features = "" if run.data.embeddings is None else "embeddings"
    without = int((~run.data.has_audio).sum()) if features else 0
    if without:
        run.data.note(f"{without} tracks have no audio embedding: the transformer uses their ids")
    return _scores(run, "Transformer", _trained_transformer, features=features)


def _trained_transformer(run: PlaylistRun, folder: Path) -> NextTrackLogits:
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
        run.fit(folder, "transformer.steps", settings.steps, model, batches, settings.clip,
                settings.warmup)  # fmt: skip
        model.save(kept)
    return NextTrackLogits(load_transformer(kept, data.embeddings, has_audio))


# --- registries, by the names of settings --------------------------------------------------------

BASELINES: dict[str, Callable[[PlaylistRun], list[PlaylistSystem]]] = {
    "random": lambda run: [_scores(run, "Random", lambda run, _: Chance(run.seed))],
    "popularity": lambda run: [
        _scores(run, "Popularity", lambda run, _: Popularity(run.data.counts))
    ],
    "artist_popularity": lambda run: [
        _scores(
            run,
            "Artist popularity",
            lambda run, _: ArtistPopularity(
                run.data.counts, codes_of(run.data.catalogue.artists)[0]
            ),
        )
    ],
    "item_cf": lambda run: [_of_playlists(run, "Item-CF", ItemCF)],
    "pmi": lambda run: [_of_playlists(run, "PMI", pmi)],
    "playlist_knn": lambda run: [_of_playlists(run, "Playlist kNN", PlaylistKNN)],
    "ease": lambda run: [_of_playlists(run, "EASE", Ease)],
    "svd": lambda run: [_factors(run, "SVD", svd_vectors, InnerProduct)],
    "als": lambda run: [_factors(run, "ALS", als_vectors, FoldedIn)],
    "bpr": lambda run: [_factors(run, "BPR", bpr_vectors)],
    "warp": lambda run: [_factors(run, "CF (WARP)", warp_vectors)],
    "track2vec": lambda run: [_vectors(run, "Track2Vec", _track2vec, InnerProduct)],
    "node2vec": lambda run: [_vectors(run, "Node2Vec", _node2vec)],
    "graphsage": lambda run: [_graphsage(run, ()), _graphsage(run, run.settings.features)],
    "embeddings": _embeddings,
}
MODELS: dict[str, Callable[[PlaylistRun], PlaylistSystem]] = {
    "musig": _musig,
    "m2grl": _m2grl,
    "transformer": _transformer,
}
