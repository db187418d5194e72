"""Training data of the playlist models: split playlists, track features, cold tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue, Playlists
from ssl_audio.recommenders.data.graph import TrackGraph, build_graph
from ssl_audio.recommenders.data.membership import membership_digest, named
from ssl_audio.recommenders.data.node_features import (
    ACOUSTIC,
    AUDIO,
    GENRE,
    POPULARITY,
    FeatureGroup,
    Scaler,
    genre_group,
    popularity_group,
    read_group,
    refuse_missing,
    top_genres,
)
from ssl_audio.recommenders.data.sources import source_name
from ssl_audio.recommenders.data.splits import cold_tracks
from ssl_audio.recommenders.data.store import PlaylistStore, build_store, open_store
from ssl_audio.recommenders.data.tables import write_table
from ssl_audio.recommenders.data.track_ids import unknown_lines
from ssl_audio.reports.results import PlaylistData
from ssl_audio.settings.recommend import StoreSettings
from ssl_audio.stores.feature_store import read_about, read_aligned, read_ids
from ssl_audio.stores.remote import fetched

TRAINING_PART = "train.parquet"
FROM_AUDIO = (AUDIO, ACOUSTIC)  # groups computed from audio: the only ones that cold tracks have
UNKNOWN_POSITIONS = "positions of unknown tracks, left out"  # a count in results
LEFT_OUT = {  # counts of a store's report that are noted in the results
    "duplicates": "positions repeat a track of their playlist and are left out",
    "unknown": "positions are of tracks that no feature store has",
    "empty": "playlists have no track and are left out",
}


@dataclass(kw_only=True)
class TrainingData:
    """Playlists and the features of their tracks.

    Cold tracks are in no training playlist, and only their audio features are known.

    Attributes:
        in_sessions: whether playlists are the sessions of users, the last of which is held out.
        name: file name of the playlists.
        catalogue: all tracks; artist, album and genre of cold tracks are "".
        train, validation, test: playlists; those of training without cold tracks.
        cold: (tracks,) bool.
        groups: the available feature groups by name.
        embeddings: (tracks, d) float32 audio embeddings, 0 where there is none; or None.
        has_audio: (tracks,) bool, True where a track has an audio embedding.
        min_weight: playlists that two tracks must share for an edge of the graph.
        genres: names of the genre group's columns.
        popularity_counted: True if popularity is counted in the training playlists, False if it
            comes from a feature store.
        notes: remarks that the results must show.
        hashes: content hashes of the inputs.
        left_out: positions of unknown tracks that were left out.
    """

    in_sessions: ClassVar[bool] = False
    name: str
    catalogue: Catalogue
    train: Playlists
    validation: Playlists
    test: Playlists
    cold: np.ndarray
    groups: Mapping[str, FeatureGroup]
    embeddings: np.ndarray | None
    has_audio: np.ndarray
    min_weight: int
    genres: list[str] = field(default_factory=list)
    popularity_counted: bool = False
    notes: list[str] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    left_out: int = 0

    @property
    def tracks(self) -> int:
        """Size of the catalogue."""
        return len(self.catalogue)

    @cached_property
    def counts(self) -> np.ndarray:
        """(tracks,) number of training playlists that hold each track."""
        return np.bincount(self.train.tracks, minlength=len(self.catalogue))

    @cached_property
    def graph(self) -> TrackGraph:
        """Co-occurrence graph of the training playlists."""
        return build_graph(self.train, len(self.catalogue), self.min_weight)

    def with_training(self, train: Playlists, min_weight: int) -> TrainingData:
        """The same tracks and held-out playlists with another training part and its graph."""
        found = replace(self, train=train, min_weight=min_weight, notes=list(self.notes))
        if self.popularity_counted:
            group = popularity_group(self.catalogue, found.counts)
            found.groups = {**self.groups, POPULARITY: _unknown_if_cold(group, self.cold)}
        return found

    def features(self, names: Sequence[str], missing: str) -> tuple[np.ndarray, Scaler]:
        """Concatenated feature groups, (tracks, d) float32 in [0, 1], and their scaling.

        Raises:
            SslAudioError: an unavailable group, or tracks without features with missing="refuse".
        """
        if not names or len(set(names)) != len(names):
            raise SslAudioError(f"features=[{','.join(names)}]: one or more groups, each once")
        for name in names:
            if name not in self.groups:
                usable = ", ".join(self.groups)
                raise SslAudioError(f"features={name} are not available: {usable} can be used")
        groups = [self.groups[name] for name in names]
        if missing == "refuse":
            refuse_missing(groups)
        scaler = Scaler.fit(groups, self.counts > 0)
        for group in groups:
            cold = 0 if group.name in FROM_AUDIO else int(self.cold.sum())
            if (without := int((~group.present).sum()) - cold) > 0:
                self.note(f"{without} tracks have no {group.name} features and got the mean")
        return scaler.matrix(groups), scaler

    def in_training(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors of tracks (tracks, d), with zeros for those in no training playlist."""
        return np.where((self.counts > 0)[:, None], vectors, 0)

    def similarity_features(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Features that MUSIG's audio similarity task compares.

        Returns:
            (tracks, d) float32 in [0, 1], and (tracks,) bool, True for tracks that have them.

        Raises:
            SslAudioError: they are not available.
        """
        if name not in self.groups:
            raise SslAudioError(
                f"musig.similarity={name} needs stores.{name}=: see ssl-audio acoustic --help"
            )
        return self.features([name], "impute")[0], self.groups[name].present

    def note(self, text: str) -> None:
        """Add a remark to the results and print it, once."""
        if text not in self.notes:
            self.notes.append(text)
            say(text)

    def summary(self) -> PlaylistData:
        """Name, counts, notes and hashes, for the results."""
        splits = {"training": self.train, "validation": self.validation, "test": self.test}
        counts: dict[str, int] = {f"{name} playlists": len(p) for name, p in splits.items()}
        counts |= {"tracks": len(self.catalogue), "cold tracks": int(self.cold.sum())}
        if "graph" in self.__dict__:
            counts["edges"] = self.graph.edges
        if self.left_out:
            counts[UNKNOWN_POSITIONS] = self.left_out
        notes = tuple(self.notes)
        return PlaylistData(name=self.name, counts=counts, notes=notes, hashes=self.hashes)


def load_training_data(
    source: Path,
    folder: Path,
    stores: StoreSettings,
    *,
    min_weight: int,
    cold: float,
    seed: int = 0,
    music: Path | None = None,
    unknown: Literal["keep", "drop", "refuse"] = "drop",
) -> TrainingData:
    """Read playlists and features.

    Args:
        source, folder, stores, seed, music, unknown: as for `open_playlists`; the training part of
            the playlists is written to `folder`.
        min_weight: playlists that two tracks must share for an edge of the graph.
        cold: share of the tracks left out of all training playlists, drawn by the seed of the
            splits: a store has its own, whatever `seed` is.

    Raises:
        SslAudioError: unreadable files, playlists and features without a track in common, or no
            training playlist with a track.
    """
    stores = fetched_stores(stores)
    store = open_playlists(source, folder, stores, seed=seed, music=music, unknown=unknown)
    known = store.catalogue()
    held_out = cold_tracks(known.ids, cold, store.seed)
    catalogue = _without_metadata(known, held_out)
    data = TrainingData(
        name=source_name(source),
        catalogue=catalogue,
        train=store.playlists("train").without_tracks(held_out),
        validation=store.playlists("validation"),
        test=store.playlists("test"),
        cold=held_out,
        groups={},
        embeddings=None,
        has_audio=np.zeros(len(catalogue), bool),
        min_weight=min_weight,
        hashes={"playlists": str(store.about["content"])},
        left_out=store.left_out,
    )
    if not len(data.train.tracks):
        raise SslAudioError("no training playlist has a track: give more playlists")
    if "citation" in store.about:
        data.note(f"{data.name}: {store.about['citation']} Licence: {store.about.get('licence')}")
    for name, text in LEFT_OUT.items():
        if count := store.about["counts"].get(name):
            data.note(f"{count} {text}")
    add_groups(data, stores)
    if not (folder / TRAINING_PART).exists():
        write_table(folder / TRAINING_PART, data.train, catalogue)
    if stores.acoustic:
        _check_acoustic(data, stores.acoustic, folder / TRAINING_PART)
    if stores.embeddings:
        data.embeddings, data.has_audio = read_aligned(stores.embeddings, catalogue.ids)
    return data


def fetched_stores(stores: StoreSettings) -> StoreSettings:
    """Local copies in place of the stores at URLs.

    Raises:
        SslAudioError: there is none, or it cannot be read.
    """
    return replace(stores, **{name: fetched(at) for name, at in vars(stores).items() if at})


def open_playlists(
    source: Path,
    folder: Path,
    stores: StoreSettings,
    *,
    seed: int = 0,
    music: Path | None = None,
    unknown: Literal["keep", "drop", "refuse"] = "drop",
) -> PlaylistStore:
    """The store of some playlists, built in a folder unless `source` is a store already.

    Args:
        source: a playlist store (.duckdb), or playlists in another format (`sources.read_source`).
        folder: where the store is built; one that is there already is used.
        stores: local feature stores; all their tracks are in the catalogue of a new store.
        seed: of the splits.
        music: folder that the ids of .m3u entries are relative to.
        unknown: tracks that no feature store has (`store.build_store`).

    Raises:
        SslAudioError: unreadable playlists or feature stores.
    """
    if source.suffix == ".duckdb":
        return open_store(source)
    built = folder / "playlists.duckdb"
    if not built.exists():
        paths = filter(None, vars(stores).values())
        ids = dict.fromkeys(track for path in paths for track in read_ids(path))
        catalogue = Catalogue(list(ids)) if ids else None
        report = build_store(
            built, source, seed=seed, root=music, catalogue=catalogue, unknown=unknown
        )
        for line in unknown_lines(report.unknown_ids, ids):
            say(line)
        say(str(report))
        say(str(report.statistics))
    return open_store(built)


def _check_acoustic(data: TrainingData, path: str | Path, training_part: Path) -> None:
    """Add a note if acoustic features were trained on other playlists than the training part.

    Features trained on test playlists, or on playlists with cold tracks, leak the test data.
    """
    about = read_about(path)
    if "siamese" not in str(about.get("kind")):
        return
    if about.get("memberships") != membership_digest(named(data.train, data.catalogue)):
        data.note(
            f"{path} was learnt from other playlists than this run's training part, which may "
            f"include test playlists or cold tracks: train it with playlists={training_part}"
        )


def _without_metadata(known: Catalogue, cold: np.ndarray) -> Catalogue:
    """The catalogue without artist, album and genre of cold tracks."""

    def kept(column: Sequence[str]) -> list[str]:
        return ["" if hidden else text for text, hidden in zip(column, cold, strict=True)]

    return replace(
        known, artists=kept(known.artists), albums=kept(known.albums), genres=kept(known.genres)
    )


def add_groups(data: TrainingData, stores: StoreSettings) -> None:
    """Add the feature groups that the metadata, the stores and the training playlists give."""
    found: dict[str, FeatureGroup] = {}
    if any(data.catalogue.genres):
        data.genres = top_genres(data.catalogue)
        found[GENRE] = genre_group(data.catalogue, vocabulary=data.genres)
    for name, path in ((POPULARITY, stores.popularity), (AUDIO, stores.audio),
                       (ACOUSTIC, stores.acoustic)):  # fmt: skip
        if path:
            found[name] = read_group(path, name, data.catalogue)
    if POPULARITY not in found:
        data.popularity_counted = True
        found[POPULARITY] = popularity_group(data.catalogue, data.counts)
    for name in set(found) - set(FROM_AUDIO):
        found[name] = _unknown_if_cold(found[name], data.cold)
    data.groups = found


def _unknown_if_cold(group: FeatureGroup, cold: np.ndarray) -> FeatureGroup:
    values = np.where(cold[:, None], 0, group.values).astype(np.float32)
    return replace(group, values=values, present=group.present & ~cold)
