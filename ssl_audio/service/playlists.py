"""Playlists that are continued, by a model of a run or by similarity."""

import threading
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.node_features import GENRE, POPULARITY
from ssl_audio.service.problems import Problem
from ssl_audio.service.schemas import Completion
from ssl_audio.service.tracks import Tracks
from ssl_audio.stores.neighbours import NeighbourIndex

SIMILARITY = "similarity"  # the model that every store has
CANDIDATES = 20  # models of sequences draw each next track from so many, as `complete` does


def by_similarity(tracks: Tracks, ids: Sequence[str], length: int) -> Completion:
    """The tracks that are nearest to the mean direction of a playlist's embeddings.

    Raises:
        Problem: no track is known.
    """
    known = [track for track in ids if track in tracks.row]
    if not known:
        raise _none_known(ids, tracks.ids, SIMILARITY)
    centre = tracks.centre([tracks.row[track] for track in known])
    found = tracks.nearest(centre, length, exclude=known)
    unknown = [track for track in ids if track not in tracks.row]
    return Completion(model=SIMILARITY, ids=[one.id for one in found], unknown=unknown)


class Continuer:
    """Continues playlists by a model of a run of `recommend`, one at a time.

    Raises:
        SslAudioError: see `open_model`.
    """

    def __init__(self, run: Path, model: str | None) -> None:
        from ssl_audio.recommenders.continuation import open_model  # takes seconds to import

        opened = open_model(run, model)
        self.name, self.ids = opened.name, opened.catalogue.ids
        self._recommender, self.data = opened.recommender, opened.recommender.data
        self._row = {track: k for k, track in enumerate(self.data.catalogue.ids)}
        self._known = opened.recommender.known()
        self._one_at_a_time = threading.Lock()

    def knows(self, ids: Sequence[str]) -> bool:
        """True if the model knows one of some tracks."""
        rows = [self._row[track] for track in ids if track in self._row]
        return bool(self._known[rows].any())

    def complete(self, ids: Sequence[str], length: int, seed: int) -> Completion:
        """The continuation of tracks by their ids.

        Raises:
            Problem: the model knows none of them.
        """
        rows = np.array([self._row.get(track, -1) for track in ids])
        known = (rows >= 0) & self._known[rows]
        if not known.any():
            like = self.ids[int(self._known.argmax()) :]
            raise _none_known(ids, like, self.name)
        length = min(length, int(self._known.sum()) - len(set(rows[known].tolist())))
        with self._one_at_a_time:
            added = (
                self._recommender.continuation(rows, length, CANDIDATES, seed, None)
                if length > 0
                else []
            )
        unknown = [track for track, k in zip(ids, known.tolist(), strict=True) if not k]
        return Completion(model=self.name, ids=[self.ids[row] for row in added], unknown=unknown)


class Inductor:
    """Vectors of new tracks by a model of a run, and the known tracks around them.

    Raises:
        SslAudioError: the run has no such model, or it needs other features.
    """

    def __init__(self, run: Path, available: Collection[str], continuer: Continuer) -> None:
        from ssl_audio.recommenders.continuation import open_model
        from ssl_audio.recommenders.induction import inductive_model, new_vector

        self.name, model = inductive_model(run)
        self._vector = partial(new_vector, model)
        self.features = [one for one in model.features if one not in (GENRE, POPULARITY)]
        if missing := [one for one in self.features if one not in available]:
            raise SslAudioError(
                f"{self.name} was trained with {', '.join(missing)}, which files do not get here: "
                "give acoustic=, with its model beside it"
            )
        opened = open_model(run, self.name, data=continuer.data)
        vectors, known = opened.recommender.vectors(), opened.recommender.known()
        assert vectors is not None  # inductive models have them
        rows = np.flatnonzero(known)
        self._ids = [opened.catalogue.ids[row] for row in rows.tolist()]
        self._index = NeighbourIndex(vectors[rows], "cosine", None)

    def vector(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """(d,) vector of a new track by its features, (width,) of each group."""
        return self._vector(features)

    def around(self, vector: np.ndarray, length: int) -> Completion:
        """The playlist of the tracks whose vectors are nearest to one, (d,)."""
        (places,), _ = self._index.nearest(vector[None], length)
        ids = [self._ids[place] for place in places.tolist() if place >= 0]
        return Completion(model=self.name, ids=ids, unknown=[])


def _none_known(ids: Sequence[str], like: Sequence[str], model: str) -> Problem:
    return Problem(
        422, f"{model} knows none of the {len(ids)} tracks; {ids[0]!r} should be like {like[0]!r}"
    )
