"""Nearest neighbours among vectors: exact, or approximate by an HNSW graph for large catalogues."""

from pathlib import Path
from typing import Literal

import numpy as np

from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.stores.graph import Graph, unit, within_one

MAX_EXACT = 200_000  # vectors; an exact search of so many takes some tens of milliseconds
MAX_SCORES = 1 << 22  # inner products at a time: 16 MB

Metric = Literal["cosine", "inner_product"]


def searches_by_graph(vectors: int, approximate: bool | None) -> bool:
    """Whether an index of so many vectors searches by a graph."""
    return vectors > MAX_EXACT if approximate is None else approximate


class NeighbourIndex:
    """Search for the vectors that are most similar to queries.

    HNSW needs a metric, which the inner product is not. Each vector v is therefore extended by
    sqrt(M^2 - |v|^2), with M the largest norm, and each query by 0: all vectors then have the norm
    M, and the nearest by angle has the largest inner product (Bachrach et al. 2014, "Speeding up
    the Xbox recommender system using a Euclidean transformation for inner-product spaces").

    Args:
        vectors: (n, dimensions).
        approximate: search by a graph; None: for more than 200,000 vectors.
        saved: file that keeps the graph of these very vectors; it is written if it is not there.

    Raises:
        SslAudioError: usearch, which the graph needs, is not installed.
    """

    def __init__(
        self, vectors: np.ndarray, metric: Metric, approximate: bool | None = False,
        saved: Path | None = None,
    ) -> None:  # fmt: skip
        self.metric = metric
        self.vectors = unit(vectors) if metric == "cosine" else np.asarray(vectors, np.float32)
        by_graph = searches_by_graph(len(vectors), approximate) and len(vectors)
        self.graph = _graph(self._extended(), saved) if by_graph else None

    def nearest(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The most similar vectors of each query, the most similar first; of equals, lower rows.

        Args:
            queries: (queries, dimensions).
            count: vectors per query, 1 or more.

        Returns:
            (queries, min(count, n)) rows and similarities, a cosine within -1 and 1. An approximate
            search that finds fewer fills up with row -1 and similarity -inf.

        Raises:
            SslAudioError: another number of dimensions, or a count below 1.
        """
        if count < 1:
            raise SslAudioError(f"k={count}: 1 or more")
        if queries.shape[1] != self.vectors.shape[1]:
            raise SslAudioError(
                f"the index has {self.vectors.shape[1]} dimensions, the query {queries.shape[1]}"
            )
        queries = unit(queries) if self.metric == "cosine" else np.asarray(queries, np.float32)
        count = min(count, len(self.vectors))
        found = self._approximate(queries, count) if self.graph else self._exact(queries, count)
        order = np.lexsort((found[0], -found[1]), axis=1)[:, :count]
        rows, scores = (np.take_along_axis(one, order, 1) for one in found)
        return rows, within_one(scores) if self.metric == "cosine" else scores

    def _exact(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of each block of vectors, unordered."""
        block = max(count, MAX_SCORES // max(1, len(queries)))
        rows = [np.zeros((len(queries), 0), np.int64)]
        scores = [np.zeros((len(queries), 0), np.float32)]
        for start in range(0, len(self.vectors), block):
            part = queries @ self.vectors[start : start + block].T
            kept = np.argpartition(-part, min(count, part.shape[1]) - 1, axis=1)[:, :count]
            rows.append(kept + start)
            scores.append(np.take_along_axis(part, kept, 1))
        return np.concatenate(rows, 1), np.concatenate(scores, 1)

    def _approximate(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        assert self.graph is not None
        extra = self.graph.dimensions - queries.shape[1]
        rows = self.graph.nearest(np.pad(queries, ((0, 0), (0, extra))), count)
        scores = np.einsum("qcd,qd->qc", self.vectors[rows], queries)
        return rows, np.where(rows < 0, -np.inf, scores)

    def _extended(self) -> np.ndarray:
        """The vectors, extended to equal norms."""
        if self.metric == "cosine":
            return self.vectors
        squares = np.einsum("nd,nd->n", self.vectors, self.vectors, dtype=np.float64)
        rest = np.sqrt(np.maximum(squares.max() - squares, 0.0)).astype(np.float32)
        return np.column_stack([self.vectors, rest])


def _graph(vectors: np.ndarray, saved: Path | None) -> Graph:
    """The graph of vectors, from its file if that is there and whole."""
    graph = Graph(vectors.shape[1])
    if saved is not None and saved.exists():
        try:
            graph.load(saved)
            if len(graph) == len(vectors):
                return graph
        except RuntimeError as error:
            warn(f"{saved} is damaged, and is built again: {error}")
        graph = Graph(vectors.shape[1])
    if saved is not None:
        say(f"building the graph of {len(vectors)} vectors, once")
    graph.add(np.arange(len(vectors)), vectors)
    if saved is not None:
        try:
            with atomic_file(saved) as temporary:
                graph.save(temporary)
        except (OSError, RuntimeError) as error:
            warn(f"{saved} cannot be written; the next search builds the graph again: {error}")
    return graph
