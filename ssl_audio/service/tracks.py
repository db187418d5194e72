"""The tracks of a store: by id, by part of their name, and by similarity."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.service.problems import Problem
from ssl_audio.service.schemas import Neighbour, Track
from ssl_audio.stores.feature_store import read_store, read_tables
from ssl_audio.stores.neighbours import NeighbourIndex


class Tracks:
    """A store in memory, with its neighbour index.

    Args:
        path: the store.

    Raises:
        SslAudioError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        stored = read_store(path)
        self.about, self.ids, self.paths = stored.about, stored.ids, stored.paths
        self.row = {track: k for k, track in enumerate(self.ids)}
        self._seconds = _seconds(path, self.ids)
        self._norms = np.linalg.norm(stored.vectors, axis=1)
        self._index = NeighbourIndex(stored.vectors, "cosine", None)
        self._keys = [_key(track) for track in self.ids]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dimensions(self) -> int:
        """Of the vectors."""
        return int(self._index.vectors.shape[1])

    def of(self, track: str) -> int:
        """The row of an id."""
        if track not in self.row:
            raise Problem(404, f"no track {track!r}: GET /tracks?query= finds ids")
        return self.row[track]

    def track(self, row: int) -> Track:
        """What the store says of a track."""
        seconds = float(self._seconds[row])
        return Track(
            id=self.ids[row], path=self.paths[row],
            seconds=seconds if np.isfinite(seconds) else None,
        )  # fmt: skip

    def vector(self, row: int) -> np.ndarray:
        """(dimensions,) embedding of a track."""
        found: np.ndarray = self._index.vectors[row] * self._norms[row]
        return found

    def find(self, text: str) -> list[int]:
        """Rows of the tracks that have all words of a text in their ids, whatever case and accents.

        First those whose file name starts with the text, then those that have it in the file name.
        """
        key = _key(text)
        words = key.split()
        found = [row for row, own in enumerate(self._keys) if all(w in own for w in words)]
        return sorted(found, key=lambda row: self._rank(row, key.strip()))

    def _rank(self, row: int, key: str) -> tuple[int, str]:
        name = self._keys[row].rpartition("/")[2]
        return (0 if name.startswith(key) else 1 if key in name else 2), self._keys[row]

    def nearest(
        self, vector: np.ndarray, k: int, prefix: str = "", exclude: Collection[str] = ()
    ) -> list[Neighbour]:
        """The k tracks of highest cosine similarity, the most similar first.

        Args:
            vector: (dimensions,).
            k: number of tracks.
            prefix: of the ids that are searched.
            exclude: ids that are left out.
        """
        rows, index = np.arange(len(self)), self._index
        if prefix:
            rows = np.array([r for r, own in enumerate(self.ids) if own.startswith(prefix)], int)
            index = NeighbourIndex(self._index.vectors[rows], "cosine")
        if not len(rows):
            return []
        left_out = {self.row[track] for track in exclude if track in self.row}
        (places,), (similarities,) = index.nearest(vector[None], k + len(left_out))
        found = [
            Neighbour(id=self.ids[rows[place]], similarity=float(similarity))
            for place, similarity in zip(places, similarities, strict=True)
            if place >= 0 and np.isfinite(similarity) and int(rows[place]) not in left_out
        ]
        return found[:k]

    def centre(self, rows: Sequence[int]) -> np.ndarray:
        """(dimensions,) mean direction of some tracks."""
        found: np.ndarray = self._index.vectors[list(rows)].mean(0)
        return found


def _seconds(path: Path, ids: Sequence[str]) -> np.ndarray:
    """(tracks,) durations; NaN where the store has none, as one of another program may."""
    try:
        tables = list(read_tables(path, ["id", "duration"]))
    except SslAudioError:
        return np.full(len(ids), np.nan)
    known = {
        track: seconds
        for table in tables
        for track, seconds in zip(
            table["id"].to_pylist(), table["duration"].to_pylist(), strict=True
        )
    }
    return np.array([known.get(track) or np.nan for track in ids], np.float64)


def _key(text: str) -> str:
    """A text without case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c))
