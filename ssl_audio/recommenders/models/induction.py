"""Vectors of tracks that a trained MUSIG has never seen: from their features, and edges if any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.console import say
from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue
from ssl_audio.recommenders.data.graph import TrackGraph, build_graph
from ssl_audio.recommenders.data.node_features import (
    GENRE,
    POPULARITY,
    FeatureGroup,
    Scaler,
    genre_group,
    join,
    popularity_group,
    read_group,
)
from ssl_audio.recommenders.data.store import PlaylistStore
from ssl_audio.recommenders.models.musig import load_musig
from ssl_audio.stores.feature_store import read_ids

SCALER, MODEL = "features.safetensors", "model"


def save_scaler(scaler: Scaler, folder: Path) -> None:
    """Keep beside a model how its features were scaled."""
    with atomic_file(folder / SCALER) as temporary:
        save_file(scaler.to_arrays(), temporary)


def load_scaler(folder: Path) -> Scaler:
    """How a model's features were scaled.

    Raises:
        CheckpointError: it is not there, or damaged.
    """
    try:
        return Scaler.from_arrays(load_file(folder / SCALER))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / SCALER} cannot be read: {error}") from error


def musig_of(run: Path) -> Path:
    """The folder of a run's MUSIG.

    Raises:
        SslAudioError: no such run, or it has none.
    """
    if not run.is_dir():
        raise SslAudioError(f"apply={run}: no such folder")
    try:
        models = json.loads((run / "results.json").read_text(encoding="utf-8"))["models"]
        return run / "systems" / models["musig"] / MODEL
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SslAudioError(
            f"apply={run} has no trained MUSIG: name the run_dir of model=musig"
        ) from error


def new_vectors(
    folder: str | Path,
    stores: Mapping[str, str | None],
    store: PlaylistStore | None,
    least_weight: int,
    missing: str = "impute",
) -> tuple[list[str], np.ndarray]:
    """Vectors of the tracks of feature stores, or of a store of playlists, without any training.

    Args:
        folder: of a saved MUSIG.
        stores: files of the features that it was trained with, by group.
        store: playlists that give the tracks edges; None: they have none.
        least_weight: playlists that two tracks share, for an edge.
        missing: "impute" or "refuse" tracks without features.

    Returns:
        Ids and (tracks, d) float32 vectors of length 1.

    Raises:
        SslAudioError: a model or features that cannot be used.
    """
    folder = Path(folder)
    model, about = load_musig(folder)
    names = about["features"]
    if not names:
        raise SslAudioError(f"{folder} was trained without features: it knows no new track")
    catalogue = store.catalogue() if store else Catalogue(_ids(names, stores))
    groups = [_group(name, stores, store, catalogue, about) for name in names]
    features, report = join(groups, names, missing, scaler=load_scaler(folder))
    for name, count in report.imputed.items():
        if count:
            say(f"{count} tracks have no {name} features and got the mean")
    if store is None:
        graph = TrackGraph.from_edges(np.empty((0, 2), np.int64), len(catalogue))
    else:
        graph = build_graph(store.playlists(), len(catalogue), least_weight)
    return list(catalogue.ids), model.vectors(features, graph)


def _ids(names: list[str], stores: Mapping[str, str | None]) -> list[str]:
    """Of the first store that is given of the model's features."""
    path = next((path for name in names if (path := stores.get(name))), None)
    if path is None:
        raise SslAudioError(
            f"the model was trained with {', '.join(names)}: give stores.{names[0]}= of the new "
            "tracks, or playlists="
        )
    return read_ids(path)


def _group(
    name: str,
    stores: Mapping[str, str | None],
    store: PlaylistStore | None,
    catalogue: Catalogue,
    about: Mapping[str, Any],
) -> FeatureGroup:
    path = stores.get(name)
    if path:
        return read_group(path, name, catalogue)
    if name == GENRE:
        return genre_group(catalogue, vocabulary=about["genres"])
    if name == POPULARITY and about["counted"]:
        if store is not None:
            counts = np.bincount(store.playlists().tracks, minlength=len(catalogue))
            return popularity_group(counts)
        # as a cold track in training: nobody knows yet, which is not the same as unpopular
        unknown = popularity_group(np.zeros(len(catalogue), np.int64))
        return replace(unknown, present=np.zeros(len(catalogue), bool))
    raise SslAudioError(f"the model was trained with {name}: give stores.{name}= of these tracks")
