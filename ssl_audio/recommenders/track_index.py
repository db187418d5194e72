"""Search for the tracks of highest inner product with a query among those of a recommender."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from ssl_audio.stores.neighbours import NeighbourIndex, searches_by_graph


class TrackIndex:
    """An index of the tracks that can be recommended.

    A graph is kept in a folder under the hash of its vectors, since it takes minutes to build for
    millions of tracks.

    Args:
        vectors: (tracks, d) of the whole catalogue.
        rows: (n,) of those that can be recommended, ascending.
        folder: where a graph is kept; None: nowhere.
    """

    def __init__(
        self, vectors: np.ndarray, rows: np.ndarray, approximate: bool | None, folder: Path | None
    ) -> None:
        own = vectors if len(rows) == len(vectors) else vectors[rows]
        saved = None
        if folder is not None and searches_by_graph(len(rows), approximate):
            digest = hashlib.sha256(np.ascontiguousarray(own).data).hexdigest()
            saved = folder / f"neighbours-{digest[:16]}.usearch"
        self.rows, self.index = rows, NeighbourIndex(own, "inner_product", approximate, saved)

    def nearest(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """(n, count) rows of the catalogue, -1 beyond the last, and their inner products."""
        places, products = self.index.nearest(queries, count)
        return np.where(places < 0, -1, self.rows[places]), products

    @property
    def by_graph(self) -> bool:
        """Whether it searches by a graph, approximately."""
        return self.index.graph is not None

    def products(self, query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n,) inner products of a query (d,) with tracks that can be recommended."""
        found: np.ndarray = self.index.vectors[np.searchsorted(self.rows, rows)] @ query
        return found


def track_indexes(
    vectors: np.ndarray, rows: np.ndarray, folder: Path | None
) -> Callable[[bool | None], TrackIndex]:
    """The indexes of a trained recommender by `approximate`, each made when it is first used."""
    return cache(lambda approximate: TrackIndex(vectors, rows, approximate, folder))
