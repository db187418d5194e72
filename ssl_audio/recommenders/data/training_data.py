"""What a comparison of playlist models is made from: playlists in splits, features, cold tracks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.cold import cold_tracks
from ssl_audio.recommenders.data.collection import Catalogue, Playlists
from ssl_audio.recommenders.data.graph import TrackGraph, build_graph
from ssl_audio.recommenders.data.membership import membership_digest, named
from ssl_audio.recommenders.data.node_features import (
    ACOUSTIC,
    AUDIO,
    POPULARITY,
    FeatureGroup,
    Scaler,
    genre_group,
    join,
    popularity_group,
    read_embeddings,
    read_group,
    stored_about,
    stored_ids,
    top_genres,
)
from ssl_audio.recommenders.data.sources import write_table
from ssl_audio.recommenders.data.store import PlaylistStore, build_store, open_store

Settings = Mapping[str, Any]
TRAINING_PART = "train.parquet"
HEARD = (AUDIO, ACOUSTIC)  # the groups that a cold track has


@dataclass
class TrainingData:
    """Playlists and what is known of their tracks.

    Cold tracks are in no training playlist, and nothing but their sound is known of them.

    Attributes:
        name: of the playlists' file.
        catalogue: of all tracks; without artist, album and genre where they are cold.
        train, validation, test: playlists; those of training without cold tracks.
        cold: (tracks,) bool.
        groups: features that are at hand, by name.
        embeddings: (tracks, d) float32 audio embeddings, 0 where there is none; or None.
        heard: (tracks,) bool, those with one.
        least_weight: of the graph's edges.
        genres: of the genre group's columns.
        counted: popularity is counted in the training playlists, and in no store.
        notes: what every result must say.
        hashes: of what was read.
    """

    name: str
    catalogue: Catalogue
    train: Playlists
    validation: Playlists
    test: Playlists
    cold: np.ndarray
    groups: Mapping[str, FeatureGroup]
    embeddings: np.ndarray | None
    heard: np.ndarray
    least_weight: int
    genres: list[str] = field(default_factory=list)
    counted: bool = False
    notes: list[str] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)

    @cached_property
    def counts(self) -> np.ndarray:
        """(tracks,) training playlists that each is in."""
        return np.bincount(self.train.tracks, minlength=len(self.catalogue))

    @cached_property
    def graph(self) -> TrackGraph:
        """Of the training playlists."""
        return build_graph(self.train, len(self.catalogue), self.least_weight)

    def features(self, names: list[str], missing: str) -> tuple[np.ndarray, Scaler]:
        """(tracks, d) float32 in [0, 1]: these groups side by side, and how they were scaled.

        Raises:
            SslAudioError: a group that is not at hand, or missing features that are refused.
        """
        groups = list(self.groups.values())
        matrix, report = join(groups, names, missing, fit=self.counts > 0)
        for name, count in report.imputed.items():
            unheard = count - (0 if name in HEARD else int(self.cold.sum()))
            if unheard > 0:
                self.note(f"{unheard} tracks have no {name} features and got the mean")
        return matrix, report.scaler

    def note(self, text: str) -> None:
        """Say something that every result must say, once."""
        if text not in self.notes:
            self.notes.append(text)
            say(text)

    def summary(self) -> dict[str, Any]:
        """For the results."""
        splits = {"training": self.train, "validation": self.validation, "test": self.test}
        counts: dict[str, int] = {f"{name} playlists": len(p) for name, p in splits.items()}
        counts |= {"tracks": len(self.catalogue), "cold tracks": int(self.cold.sum())}
        if "graph" in self.__dict__:
            counts["edges"] = self.graph.edges
        return {"name": self.name, "counts": counts, "notes": self.notes, "hashes": self.hashes}


def load_training_data(settings: Settings, folder: Path) -> TrainingData:
    """Read playlists and features as a recipe says.

    Args:
        settings: of `recommend`.
        folder: of the run; a store is made in it from playlists in other formats.

    Raises:
        SslAudioError: something that cannot be read, or playlists and features without a track in
            common.
    """
    store = open_playlists(settings, folder)
    known = store.catalogue()
    cold = cold_tracks(known.ids, settings["completion"]["cold"], settings["seed"])
    catalogue = _without_words(known, cold)
    train = store.playlists("train").without_tracks(cold)
    data = TrainingData(
        name=Path(settings["playlists"]).name,
        catalogue=catalogue,
        train=train,
        validation=store.playlists("validation"),
        test=store.playlists("test"),
        cold=cold,
        groups={},
        embeddings=None,
        heard=np.zeros(len(catalogue), bool),
        least_weight=settings["graph"]["least_weight"],
        hashes={"playlists": str(store.about.get("content", ""))},
    )
    _note_what_was_left_out(data, store.about.get("counts") or {})
    stores = settings["stores"]
    data.groups = _groups(data, stores)
    _check_acoustic(data, stores[ACOUSTIC], folder)
    if stores["embeddings"]:
        data.embeddings, data.heard = read_embeddings(stores["embeddings"], catalogue)
    return data


def _note_what_was_left_out(data: TrainingData, counts: Mapping[str, Any]) -> None:
    texts = {
        "duplicates": "positions repeat a track of their playlist and are left out",
        "unknown": "positions are of tracks without features",
        "empty": "playlists have no track and are left out",
    }
    for name, text in texts.items():
        if counts.get(name):
            data.note(f"{counts[name]} {text}")


def _check_acoustic(data: TrainingData, path: str | None, folder: Path) -> None:
    """Write the training part of the playlists, and say if acoustic features come from another.

    Features that were learnt from test playlists, or from cold tracks in playlists, would tell the
    models what they are asked for.
    """
    write_table(folder / TRAINING_PART, data.train, data.catalogue)
    about = stored_about(path) if path else {}
    if "siamese" not in str(about.get("kind")):
        return
    taught = membership_digest(named(data.train, data.catalogue))
    if about.get("memberships") != taught:
        data.note(
            f"{path} was learnt from other playlists than this run's training part, so that test "
            f"playlists or cold tracks may be among them: learn it from {folder / TRAINING_PART}"
        )


def open_playlists(settings: Settings, folder: Path) -> PlaylistStore:
    """The store of a run's playlists, made in its folder from other formats."""
    path = Path(settings["playlists"])
    if path.suffix == ".duckdb":
        return open_store(path)
    kept = folder / "playlists.duckdb"
    if not kept.exists():
        report = build_store(
            kept, path, seed=settings["seed"], root=settings["music"],
            catalogue=_sounding(settings["stores"]), unknown=settings["unknown"],
        )  # fmt: skip
        say(str(report))
    return open_store(kept)


def _sounding(stores: Mapping[str, str | None]) -> Catalogue | None:
    """The tracks of the feature stores, so that those in no playlist can be recommended too."""
    given = [path for path in stores.values() if path]
    names = dict.fromkeys(track for path in given for track in stored_ids(path))
    return Catalogue(list(names)) if names else None


def _without_words(known: Catalogue, cold: np.ndarray) -> Catalogue:
    """The catalogue as it is before anybody has written about its cold tracks."""

    def kept(column: Any) -> list[str]:
        return ["" if hidden else text for text, hidden in zip(column, cold, strict=True)]

    return replace(
        known, artists=kept(known.artists), albums=kept(known.albums), genres=kept(known.genres)
    )


def _groups(data: TrainingData, stores: Mapping[str, str | None]) -> dict[str, FeatureGroup]:
    found = {}
    if any(data.catalogue.genres):
        data.genres = top_genres(data.catalogue)
        found["genre"] = genre_group(data.catalogue, vocabulary=data.genres)
    for name in (POPULARITY, AUDIO, ACOUSTIC):
        if path := stores[name]:
            found[name] = read_group(path, name, data.catalogue)
    data.counted = POPULARITY not in found
    found.setdefault(POPULARITY, popularity_group(data.counts))
    for name in set(found) - set(HEARD):
        group = found[name]
        values = np.where(data.cold[:, None], 0, group.values).astype(np.float32)
        found[name] = replace(group, values=values, present=group.present & ~data.cold)
    return found


def sound_of(data: TrainingData, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(tracks, d) float32 in [0, 1], the features that the sound task compares, and (tracks,) bool,
    those that have them.

    Raises:
        SslAudioError: they are not at hand.
    """
    if name not in HEARD:
        raise SslAudioError(f"musig.sound={name}: {' or '.join(HEARD)}")
    if name not in data.groups:
        raise SslAudioError(
            f"musig.sound={name} wants stores.{name}=: see python -m ssl_audio.acoustic --help"
        )
    return data.features([name], "impute")[0], data.groups[name].present
