"""Vectors of tracks that MUSIG was not trained on, from their features and, if given, edges."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
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
from ssl_audio.recommenders.data.training_data import open_playlists
from ssl_audio.recommenders.graph_models import IDENTITY
from ssl_audio.recommenders.models.musig import load_musig
from ssl_audio.recommenders.systems import MODEL
from ssl_audio.recommenders.trained import trained_model
from ssl_audio.settings.recommend import StoreSettings
from ssl_audio.stores.feature_store import Row, read_ids
from ssl_audio.stores.writer import write_store


def write_new_vectors(
    run: Path,
    output: Path,
    stores: StoreSettings,
    playlists: Path | None = None,
    *,
    music: Path | None = None,
    unknown: Literal["keep", "drop", "refuse"] = "drop",
    min_weight: int = 10,
    missing: Literal["impute", "refuse"] = "impute",
) -> int:
    """Write a feature store of the vectors of tracks by a run's MUSIG.

    Args:
        run: folder of a run that has trained MUSIG.
        output: a new .parquet file.
        stores: files of the features that the model was trained with, by group.
        playlists: of the tracks, for edges between them; None: vectors follow from features alone.
        music, unknown: of the playlists, see `open_playlists`.
        min_weight: playlists that two tracks must share for an edge.
        missing: tracks without features: the mean, or an error.

    Returns:
        Positions of the playlists that were left out, as no feature store has their tracks.

    Raises:
        SslAudioError: no MUSIG, features that cannot be used, or an output that exists.
    """
    if output.exists() or output.suffix != ".parquet":
        raise SslAudioError(f"output={output}: a new file that ends with .parquet")
    _, system = trained_model(run, "musig", "apply")
    saved = load_musig(system / MODEL)
    names = [name for name in saved.about["features"] if name != IDENTITY]  # new tracks lack it
    if not names or saved.scaler is None:
        raise SslAudioError(f"apply={run}: MUSIG was trained without features of new tracks")
    with tempfile.TemporaryDirectory() as folder:
        store = None
        if playlists:
            store = open_playlists(playlists, Path(folder), stores, music=music, unknown=unknown)
        catalogue = store.catalogue() if store else Catalogue(_ids(names, stores))
        loaded = store.playlists() if store else None
    groups = [_group(name, stores, loaded, catalogue, saved.about) for name in names]
    if missing == "refuse":
        refuse_missing(groups)
    for group in groups:
        if count := int((~group.present).sum()):
            say(f"{count} tracks have no {group.name} features and got the mean")
    if loaded is None:
        graph = TrackGraph.from_edges(np.empty((0, 2), np.int64), len(catalogue))
    else:
        graph = build_graph(loaded, len(catalogue), min_weight)
    vectors = saved.model.vectors(saved.scaler.matrix(groups), graph)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_vectors(output, "musig", catalogue.ids, vectors)
    return store.left_out if store else 0


def write_vectors(path: Path, name: str, ids: Sequence[str], vectors: np.ndarray) -> None:
    """Write a feature store of track vectors (tracks, d) of a model; an older one is replaced."""
    digest = hashlib.sha256(vectors.tobytes()).hexdigest()
    about = {"kind": f"{name} track vectors", "model": digest}
    rows = (Row(track, track, 0.0, "", v) for track, v in zip(ids, vectors, strict=True))
    say(f"{write_store(path, about, rows)} tracks x {vectors.shape[1]}: {path}")


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
    stores: StoreSettings,
    playlists: Playlists | None,
    catalogue: Catalogue,
    about: Mapping[str, Any],
) -> FeatureGroup:
    path = getattr(stores, name, None)  # genres are in no store
    if path:
        return read_group(path, name, catalogue)
    if name == GENRE:
        return genre_group(catalogue, vocabulary=about["genres"])
    if name == POPULARITY and about["popularity_counted"]:
        tracks = len(catalogue)
        if playlists is not None:
            return popularity_group(catalogue, np.bincount(playlists.tracks, minlength=tracks))
        # as of a cold track in training: unknown, which is not the same as unpopular
        unknown = popularity_group(catalogue, np.zeros(tracks, np.int64))
        return replace(unknown, present=np.zeros(tracks, bool))
    raise SslAudioError(f"the model was trained with {name}: give stores.{name}= of these tracks")
