"""MovieLens as sessions; the last one of each user is held out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.files import file_sha256
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.movielens import movielens_files, read_movielens
from ssl_audio.recommenders.data.sessions import Sessions, make_sessions, view_graph_edges
from ssl_audio.recommenders.evaluation.sessions import NextSessionTask, next_session_task
from ssl_audio.recommenders.models.m2grl_batches import CATEGORY, ITEM, Links
from ssl_audio.reports.results import PlaylistData
from ssl_audio.settings.recommend import SessionSettings

K = 50  # items recommended to a user


@dataclass
class SessionData:
    """Sessions of MovieLens, split.

    Attributes:
        name: of the folder.
        categories: (movies, categories) sparse, not 0 where a movie has a category.
        kind: of the categories: "genres" or "tags".
        train: training sessions.
        task: the held-out sessions.
        users: number of users with a session.
        hashes: SHA-256 of the files.
    """

    name: str
    categories: csr_matrix
    kind: str
    train: Playlists
    task: NextSessionTask
    users: int
    hashes: dict[str, str]

    @property
    def items(self) -> int:
        """Size of the catalogue."""
        return int(self.categories.shape[0])

    @property
    def sizes(self) -> dict[str, int]:
        """Nodes of each view."""
        return {ITEM: self.items, CATEGORY: int(self.categories.shape[1])}

    @cached_property
    def counts(self) -> np.ndarray:
        """(items,) occurrences in training sessions."""
        return np.bincount(self.train.tracks, minlength=self.items)

    @cached_property
    def graph(self) -> TrackGraph:
        """Edges between consecutive items, weighted by their frequency (A.1)."""
        low, high, weights = view_graph_edges(self.train)
        return TrackGraph.from_edges(np.stack([low, high], 1), self.items, weights)

    @cached_property
    def links(self) -> Links:
        """(links,) items and (links,) categories."""
        found = self.categories.tocoo()
        return found.row.astype(np.int64), found.col.astype(np.int64)

    def trained(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors of items, zero for those without training data."""
        return np.where((self.counts > 0)[:, None], vectors, 0)

    def summary(self) -> PlaylistData:
        """Counts, notes and hashes, for the results."""
        held_out = self.task.truth.tracks
        counts = {
            "users": self.users, "test users": len(self.task),
            "training sessions": len(self.train), "movies": self.items,
            "movies in training": int((self.counts > 0).sum()), "held-out items": len(held_out),
            self.kind: int(self.categories.shape[1]), "item edges": self.graph.edges,
            "item-category links": len(self.links[0]),
        }  # fmt: skip
        lost = int((self.counts[held_out] == 0).sum())
        text = f"{lost} of {len(held_out)} held-out items are in no training session"
        notes = (f"{text} and cannot be recommended",) if lost else ()
        return PlaylistData(name=self.name, counts=counts, notes=notes, hashes=self.hashes)


def load_session_data(
    source: Path, rules: SessionSettings, kind: Literal["genres", "tags"], validate: bool = False
) -> SessionData:
    """Read a MovieLens folder and hold sessions out.

    Args:
        source: the folder.
        rules: which ratings count, where a session ends, and how much the items of a history count.
        kind: of the categories.
        validate: leave each user's last session out, and hold out the one before it.

    Raises:
        SslAudioError: files that are missing or malformed, no categories, or too few users or
            movies.
    """
    read = read_movielens(source, kind)
    if read.categories.nnz == 0:
        raise SslAudioError(f"{source}: no movie has {kind}; give the other m2grl.categories")
    sessions = make_sessions(read.events, rules)
    train, task = next_session_task(sessions.playlists, sessions.owners)
    if validate:
        train, task = next_session_task(train, _owners(train, sessions))
    task = replace(task, seen=replace(task.seen, recency=rules.recency))
    if len(task) < 2:
        raise SslAudioError(
            f"{source}: {len(task)} test users, 2 or more are needed: a user needs two movies that "
            "sessions= keeps, one of them in the last session alone"
        )
    known = len(np.unique(train.tracks))
    if known <= K:
        text = f"{source}: {known} movies in training sessions: more than {K} are needed"
        raise SslAudioError(text)
    users = len(np.unique(sessions.owners))
    hashes = {path.name: file_sha256(path) for path in movielens_files(source)}
    return SessionData(source.resolve().name, read.categories, kind, train, task, users, hashes)


def _owners(train: Playlists, sessions: Sessions) -> np.ndarray:
    """(training sessions,) the user of each, by the names of the sessions."""
    owner = dict(zip(sessions.playlists.ids, sessions.owners.tolist(), strict=True))
    return np.array([owner[name] for name in train.ids])
