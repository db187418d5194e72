"""MovieLens as sessions; the last one of each user is held out.

Most recommenders rank by the inner product of item vectors with the sum of the history's; M2GRL and
skip-gram by output vectors with the sum of input vectors, as they are trained. Items of the history
count by their recency (`recency`) wherever a recommender sums over them. Inner products of
other vectors favour long ones, which frequent items have early in training and rare ones later, so
that walks and EGES are best when stopped early: steps, epochs and rates are chosen on the sessions
before the last (`m2grl.validate`).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.files import file_sha256
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.movielens import FILES, movielens_files, read_movielens
from ssl_audio.recommenders.data.sessions import (
    make_sessions,
    view_graph,
    view_sequences,
)
from ssl_audio.recommenders.data.training_data import TrainingData, add_groups
from ssl_audio.recommenders.evaluation.sessions import NextSessionTask, next_session_task
from ssl_audio.recommenders.models.m2grl_batches import (
    CATEGORY,
    ITEM,
    Links,
    Views,
    catalogue_views,
)
from ssl_audio.reports.results import PlaylistData
from ssl_audio.settings.recommend import SessionSettings, StoreSettings

K = 50  # items recommended to a user


@dataclass(kw_only=True)
class SessionData(TrainingData):
    """Sessions of MovieLens, split; a track is a movie.

    Attributes:
        categories: (movies, categories) sparse, not 0 where a movie has a category.
        kind: of the categories: "genres" or "tags".
        task: the held-out sessions.
        users: number of users with a session.
    """

    in_sessions = True
    categories: csr_matrix
    kind: str
    task: NextSessionTask
    users: int

    @property
    def sizes(self) -> dict[str, int]:
        """Nodes of each view."""
        return {ITEM: self.tracks, CATEGORY: int(self.categories.shape[1])}

    @cached_property
    def graph(self) -> TrackGraph:
        """Edges between consecutive items, weighted by their frequency (A.1)."""
        return view_graph(self.train, self.tracks)

    @cached_property
    def links(self) -> Links:
        """(links,) items and (links,) categories."""
        found = self.categories.tocoo()
        return found.row.astype(np.int64), found.col.astype(np.int64)

    def summary(self) -> PlaylistData:
        """Counts, notes and hashes, for the results."""
        held_out = self.task.truth.tracks
        counts = {
            "users": self.users, "test users": len(self.task),
            "training sessions": len(self.train), "movies": self.tracks,
            "movies in training": int((self.counts > 0).sum()), "held-out items": len(held_out),
            self.kind: int(self.categories.shape[1]), "item edges": self.graph.edges,
            "item-category links": len(self.links[0]),
        }  # fmt: skip
        lost = int((self.counts[held_out] == 0).sum())
        text = f"{lost} of {len(held_out)} held-out items are in no training session"
        if lost:
            self.note(f"{text} and cannot be recommended")
        notes = tuple(self.notes)
        return PlaylistData(name=self.name, counts=counts, notes=notes, hashes=self.hashes)


def views_of(data: TrainingData) -> Views:
    """M2GRL's views: items and categories of sessions; tracks, genres and artists of playlists."""
    if not isinstance(data, SessionData):
        return catalogue_views(data.train, data.catalogue)
    views = {ITEM: data.train, CATEGORY: view_sequences(data.train, data.categories)}
    return views, {CATEGORY: data.links}, data.sizes


def movielens_folder(source: Path) -> Path | None:
    """The folder, if the playlists are a MovieLens folder or `movielens:FOLDER`, else None."""
    named = str(source).removeprefix("movielens:")
    folder = Path(named)
    is_movielens = named != str(source) or any(
        (folder / name).is_file() for name in FILES["ratings"]
    )
    return folder if is_movielens else None


def load_session_data(
    source: Path, rules: SessionSettings, kind: Literal["genres", "tags"], validate: bool = False
) -> SessionData:
    """Read a MovieLens folder and hold sessions out.

    Args:
        rules: which ratings count, and where a session ends.
        kind: of the categories.
        validate: leave each user's last session (or item) out, and hold out the one before it.

    Raises:
        SslAudioError: files that are missing or malformed, no categories, or too few users or
            movies.
    """
    read = read_movielens(source, kind)
    if read.categories.nnz == 0:
        raise SslAudioError(f"{source}: no movie has {kind}; give the other m2grl.categories")
    sessions, owners = make_sessions(read.events, rules)
    last_item = rules.hold_out == "item"
    train, task = next_session_task(sessions, owners, last_item)
    if validate:
        owner = dict(zip(sessions.ids, owners.tolist(), strict=True))
        left = np.array([owner[name] for name in train.ids])
        train, task = next_session_task(train, left, last_item)
    if len(task) < 2:
        raise SslAudioError(
            f"{source}: {len(task)} test users, 2 or more are needed: a user needs two movies that "
            "sessions= keeps, one of them in the last session alone"
        )
    known = len(np.unique(train.tracks))
    if known <= K:
        text = f"{source}: {known} movies in training sessions: more than {K} are needed"
        raise SslAudioError(text)
    users = len(np.unique(owners))
    hashes = {path.name: file_sha256(path) for path in movielens_files(source)}
    movies, none = len(read.catalogue), playlists_of([])
    data = SessionData(
        name=source.resolve().name, catalogue=read.catalogue, train=train, validation=none,
        test=none, cold=np.zeros(movies, bool), groups={}, embeddings=None,
        has_audio=np.zeros(movies, bool), min_weight=1, hashes=hashes, categories=read.categories,
        kind=kind, task=task, users=users,
    )  # fmt: skip
    add_groups(data, StoreSettings())
    return data
