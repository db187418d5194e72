"""Search by the graph that is kept with a store, in rows of a table of the store."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from ssl_audio.stores.graph import unit, within_one
from ssl_audio.stores.kept_graph import kept_graph


class GraphSearch:
    """The tracks of a store that are nearest to a query by cosine, approximately.

    Args:
        path: the store.
        version: `read_version` of the store, from before the rows were read.
        rows: those that can be found, with the columns `id` and `key`.

    Raises:
        SslAudioError: usearch is not installed, or the store is damaged.
    """

    def __init__(self, path: Path, version: str, rows: pa.Table) -> None:
        self._graph = kept_graph(path, version, rows)
        keys = rows["key"].to_numpy()
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def nearest(
        self, queries: np.ndarray, count: int, vectors: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The nearest rows of each query, the nearest first.

        Args:
            queries: (queries, dimensions), 1 or more.
            count: rows per query, 1 or more.
            vectors: (rows, dimensions) of length 1, for exact similarities; None: those of the
                graph, which are rounded to 16 bits.

        Returns:
            (queries, min(count, vectors in the graph)) rows and similarities, -1 and -inf after
            the last that was found.
        """
        found = np.full((len(queries), min(count, len(self._graph))), -1, np.int64)
        scores = np.full(found.shape, -np.inf, np.float32)
        if not found.size:
            return found, scores
        for k, keys in enumerate(self._graph.nearest(queries, found.shape[1])):
            places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            there = self._keys[places] == keys  # the graph may be of another version of the store
            rows = self._order[places[there]]
            own = self._graph.vectors(keys[there]) if vectors is None else vectors[rows]
            similarities = within_one(own @ unit(queries[k : k + 1])[0])
            order = np.argsort(-similarities, kind="stable")
            found[k, : len(rows)], scores[k, : len(rows)] = rows[order], similarities[order]
        return found, scores
