"""The tracks of a store: by id, by part of their name, and by similarity."""

import unicodedata
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ssl_audio.io.errors import SslAudioError
from ssl_audio.service.problems import Problem
from ssl_audio.service.schemas import Neighbour, Track
from ssl_audio.stores.feature_store import (
    Stored,
    count_rows,
    read_completed,
    read_store,
    read_version,
)
from ssl_audio.stores.kept_graph import GraphSearch
from ssl_audio.stores.neighbours import MAX_EXACT, NeighbourIndex
from ssl_audio.stores.store_search import not_deleted

COLUMNS = ["id", "path", "duration", "state", "key"]


class Tracks:
    """A store in memory, with its neighbour index; rows whose file is gone are left out.

    Above 200,000 tracks the search is approximate, by the graph that is kept with the store, but
    for a search by prefix.

    Raises:
        SslAudioError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.version, stored, columns = _read(path)
        self.about = stored.about
        there = not_deleted(columns)
        columns, vectors = columns.filter(pa.array(there)), stored.vectors[there]
        self.ids: list[str] = columns["id"].to_pylist()
        self.paths: list[str] = columns["path"].to_pylist()
        self.row = {track: k for k, track in enumerate(self.ids)}
        self._seconds = columns["duration"].to_numpy().astype(np.float64)
        self._norms = np.linalg.norm(vectors, axis=1)
        self._index = NeighbourIndex(vectors, "cosine")
        self.directions: np.ndarray = self._index.vectors  # (tracks, dimensions), of length 1
        self._keys = [_key(track) for track in self.ids]
        self._by_name = sorted(range(len(self.ids)), key=self._keys.__getitem__)
        self._graph = None
        if len(self.ids) > MAX_EXACT:
            self._graph = GraphSearch(path, self.version, columns)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dimensions(self) -> int:
        """Of the vectors."""
        return int(self.directions.shape[1])

    @property
    def vectors(self) -> np.ndarray:
        """(tracks, dimensions) embeddings, NaN where there is none."""
        found: np.ndarray = self.directions * self._norms[:, None]
        return found

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
        found: np.ndarray = self.directions[row] * self._norms[row]
        return found

    def find(self, text: str) -> list[int]:
        """Rows of the tracks that have all words of a text in their ids, whatever case and accents.

        First those whose file name starts with the text, then those that have it in the file name;
        in the order of their ids.
        """
        key = _key(text).strip()
        words = key.split()
        found = [row for row in self._by_name if all(word in self._keys[row] for word in words)]

        def rank(row: int) -> int:
            name = self._keys[row].rpartition("/")[2]
            return 0 if name.startswith(key) else 1 if key in name else 2

        return sorted(found, key=rank)

    def nearest(
        self, vector: np.ndarray, k: int, prefix: str = "", exclude: Collection[str] = ()
    ) -> list[Neighbour]:
        """The k tracks of highest cosine to (dimensions,), the most similar first.

        Only ids with the prefix are searched, and the excluded ones are left out.
        """
        left_out = {self.row[track] for track in exclude if track in self.row}
        rows, similarities = self._search(vector[None], k + len(left_out), prefix)
        found = [
            Neighbour(id=self.ids[row], similarity=float(similarity))
            for row, similarity in zip(rows.tolist(), similarities, strict=True)
            if row not in left_out and np.isfinite(similarity)
        ]
        return found[:k]

    def _search(self, query: np.ndarray, count: int, prefix: str) -> tuple[np.ndarray, np.ndarray]:
        """(n,) rows and similarities of the nearest tracks of a query (1, dimensions)."""
        if prefix:
            rows = np.array([r for r, own in enumerate(self.ids) if own.startswith(prefix)], int)
            if not len(rows):
                return rows, np.zeros(0, np.float32)
            part = NeighbourIndex(self.directions[rows], "cosine")
            (places,), (similarities,) = part.nearest(query, count)
            return rows[places], similarities
        if self._graph is not None:
            (rows,), (similarities,) = self._graph.nearest(query, count, self._index.vectors)
        else:
            (rows,), (similarities,) = self._index.nearest(query, count)
        return rows, similarities

    def centre(self, rows: Sequence[int]) -> np.ndarray:
        """(dimensions,) mean direction of some tracks."""
        found: np.ndarray = self.directions[list(rows)].mean(0)
        return found


def _read(path: Path) -> tuple[str, Stored, pa.Table]:
    """Version, vectors and columns of a store, all of the same state of it."""
    while True:
        if not count_rows(path):
            raise SslAudioError(f"{path} has no track: embed some files first")
        version, stored = read_version(path), read_store(path)
        columns = pa.concat_tables(read_completed(path, COLUMNS))
        if read_version(path) == version:
            return version, stored, columns


def _key(text: str) -> str:
    """A text without case and accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c))
