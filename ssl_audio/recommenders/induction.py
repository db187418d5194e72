"""Vectors of tracks that a model was not trained on, from features and, if given, edges."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.comparison import SYSTEMS, write_vectors
from ssl_audio.recommenders.data.collection import Catalogue, Playlists
from ssl_audio.recommenders.data.graph import TrackGraph, build_graph
from ssl_audio.recommenders.data.node_features import (
    GENRE,
    POPULARITY,
    FeatureGroup,
    genre_group,
    popularity_group,
    read_group,
    refuse_missing,
)
from ssl_audio.recommenders.data.training_data import fetched_stores, open_playlists
from ssl_audio.recommenders.recommender import InductiveModel
from ssl_audio.recommenders.trained import trained_run
from ssl_audio.settings.complete import CompleteSettings
from ssl_audio.settings.recommend import StoreSettings
from ssl_audio.settings.recommenders import RECOMMENDERS
from ssl_audio.stores.feature_store import read_ids


def write_new_vectors(settings: CompleteSettings) -> int:
    """Write a feature store of the vectors of new tracks by an inductive model of a run.

    The tracks are those of the feature stores, or of the playlists where they are given.

    Returns:
        Positions of the playlists that were left out, as no feature store has their tracks.

    Raises:
        SslAudioError: no such model, features that cannot be used, or an output that exists.
    """
    output = settings.output or Path("vectors.parquet")
    if output.exists() or output.suffix != ".parquet":
        raise SslAudioError(f"output={output}: a new file that ends with .parquet")
    name, model = inductive_model(settings.run, settings.model)
    stores = fetched_stores(settings.stores)
    with tempfile.TemporaryDirectory() as folder:
        store = None
        if settings.playlists:
            store = open_playlists(
                settings.playlists, Path(folder), stores, music=settings.music,
                unknown=settings.unknown,
            )  # fmt: skip
        catalogue = store.catalogue() if store else Catalogue(_ids(model.features, stores))
        loaded = store.playlists() if store else None
    groups = [
        _group(one, getattr(stores, one, None), loaded, catalogue, model) for one in model.features
    ]
    if settings.missing == "refuse":
        refuse_missing(groups)
    for group in groups:
        if count := int((~group.present).sum()):
            say(f"{count} tracks have no {group.name} features and got the mean")
    if loaded is None:
        graph = _no_edges(len(catalogue))
    else:
        graph = build_graph(loaded, len(catalogue), settings.graph.min_weight)
    vectors = model.vectors(groups, graph)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_vectors(output, name, catalogue.ids, vectors)
    return store.left_out if store else 0


def inductive_model(run: Path | None, model: str | None = None) -> tuple[str, InductiveModel]:
    """The name of an inductive model of a run, and the model.

    Args:
        run: a finished run of `recommend`; None: the newest one below runs/ that has one.
        model: of the run; None: its first inductive one.

    Raises:
        SslAudioError: no such run or model, or one that is not inductive.
    """
    kind = "model that computes vectors from features"
    run, results, name = trained_run(run, model, _inductive, kind)
    if _inductive([name]) is None:
        raise SslAudioError(f"model={name} computes no vectors of new tracks, as musig does")
    return name, RECOMMENDERS[name].inductive(run / SYSTEMS / results.models[name])


def new_vector(model: InductiveModel, features: Mapping[str, np.ndarray]) -> np.ndarray:
    """The vector, (d,), of one track that no playlist has.

    Args:
        model: of `inductive_model`.
        features: (width,) of each group of `model.features`, but for genre and popularity.

    Raises:
        SslAudioError: a group is missing.
    """
    catalogue, present = Catalogue(["new"]), np.ones(1, bool)
    groups = [
        FeatureGroup(one, features[one][None], present, catalogue.ids)
        if one in features
        else _group(one, None, None, catalogue, model)
        for one in model.features
    ]
    found: np.ndarray = model.vectors(groups, _no_edges(1))[0]
    return found


def _no_edges(tracks: int) -> TrackGraph:
    return TrackGraph.from_edges(np.empty((0, 2), np.int64), tracks)


def _inductive(names: list[str]) -> str | None:
    """The first model that gives vectors to tracks that it was not trained on."""
    return next((name for name in names if hasattr(RECOMMENDERS[name], "inductive")), None)


def _ids(names: list[str], stores: StoreSettings) -> list[str]:
    """The tracks of the first given store of the model's features."""
    path = next((path for name in names if (path := getattr(stores, name, None))), None)
    if path is None:
        raise SslAudioError(
            f"the model was trained with {', '.join(names)}: give stores.{names[0]}= of the new "
            "tracks, or playlists="
        )
    return read_ids(path)


def _group(
    name: str,
    path: str | Path | None,  # of its store; genres are in none
    playlists: Playlists | None,
    catalogue: Catalogue,
    model: InductiveModel,
) -> FeatureGroup:
    if path:
        return read_group(path, name, catalogue)
    if name == GENRE:
        return genre_group(catalogue, vocabulary=model.genres)
    if name == POPULARITY and model.popularity_counted:
        tracks = len(catalogue)
        if playlists is not None:
            return popularity_group(catalogue, np.bincount(playlists.tracks, minlength=tracks))
        # as of a cold track in training: unknown, which is not the same as unpopular
        unknown = popularity_group(catalogue, np.zeros(tracks, np.int64))
        return replace(unknown, present=np.zeros(tracks, bool))
    raise SslAudioError(f"the model was trained with {name}: give stores.{name}= of these tracks")
