"""LINE: vectors that keep second-order proximity, by which nodes with common neighbours are near.

Tang et al. 2015, "LINE: Large-scale Information Network Embedding", equation 6 and section 4.2.
Skip-gram with negative sampling on edges: gensim trains it on lists of two nodes.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ssl_audio.recommenders.baselines.word2vec import word2vec
from ssl_audio.recommenders.data.graph import TrackGraph, with_edges
from ssl_audio.recommenders.recommender import VectorRecommender
from ssl_audio.settings.baselines import Word2VecSettings

SAMPLES, SAMPLES_ON_SESSIONS = 5_000, 100  # steps for each node that has neighbours
PART = 100_000  # edges drawn at once


class Line(VectorRecommender):
    """LINE over the graph of the data."""

    name = "LINE"
    package = "gensim"

    def train(self, folder: Path) -> np.ndarray:
        samples = SAMPLES_ON_SESSIONS if self.data.in_sessions else SAMPLES
        return line_vectors(with_edges(self.data.graph), samples, Word2VecSettings(
            dimensions=self.settings.m2grl.dimensions, window=1, negatives=10, epochs=1,
            learning_rate=0.1,
        ), self.settings.seed)  # fmt: skip


def line_vectors(
    graph: TrackGraph, samples: int, settings: Word2VecSettings, seed: int = 0
) -> np.ndarray:
    """(nodes, dimensions) float32 vectors; zero for a node of which no edge is drawn.

    `samples` are steps for each node that has neighbours: one on an edge in each direction is two.
    The window of the settings is 1.
    """
    edges = _Edges(graph, samples * int((graph.degree > 0).sum()) // 2, seed)
    return word2vec(edges, edges.counts(len(graph)), settings, seed)[0]


class _Edges:
    """Lists of the two ends of an edge, drawn with probability proportional to its weight.

    All steps then have the same size (section 4.2). Each iteration draws the same edges.
    """

    def __init__(self, graph: TrackGraph, count: int, seed: int) -> None:
        left, right, weights = graph.upper()
        self.ends = np.stack([left, right], 1)
        self.bounds = np.cumsum(weights, dtype=np.int64)
        self.count, self.seed = count, seed

    def __iter__(self) -> Iterator[np.ndarray]:
        for part in self._parts():
            yield from part

    def _parts(self) -> Iterator[np.ndarray]:
        """(edges, 2) ends of some edges at a time."""
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.count, PART):
            drawn = rng.integers(self.bounds[-1], size=min(PART, self.count - start))
            yield self.ends[np.searchsorted(self.bounds, drawn, side="right")]

    def counts(self, nodes: int) -> np.ndarray:
        """(nodes,) how often each node is an end."""
        counts = (np.bincount(part.ravel(), minlength=nodes) for part in self._parts())
        return sum(counts, np.zeros(nodes, np.int64))
