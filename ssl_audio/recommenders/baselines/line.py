"""LINE: vectors that keep second-order proximity, by which nodes with common neighbours are near.

Tang et al. 2015, "LINE: Large-scale Information Network Embedding", equation 6 and section 4.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_audio.io.compiled import compiled
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.baselines.alias import alias_table
from ssl_audio.recommenders.data.csr import owners_of
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.recommender import VectorRecommender

MIN_RATE = 1e-4  # at the end, as a share of the first learning rate
PART = 1_000_000  # samples drawn from one generator


@dataclass(frozen=True)
class LineSettings:
    """How vectors are trained.

    Attributes:
        dimensions: of a vector.
        negatives: of each edge, drawn with probability proportional to (sum of weights) ** 0.75.
        samples: sampled edges for each node that has neighbours.
        learning_rate: at the first step; it falls linearly.
        seed: of all random numbers.
    """

    dimensions: int = 64
    negatives: int = 5
    samples: int = 5_000
    learning_rate: float = 0.1
    seed: int = 0


class Line(VectorRecommender):
    """LINE over the graph of the data."""

    name = "LINE"

    def train(self, folder: Path) -> np.ndarray:
        return line_vectors(self.data.graph, LineSettings(
            dimensions=self.settings.m2grl.dimensions, negatives=10, seed=self.settings.seed,
            samples=100 if self.data.in_sessions else LineSettings.samples,
        ))  # fmt: skip


def line_vectors(graph: TrackGraph, settings: LineSettings) -> np.ndarray:
    """(nodes, dimensions) float32 vectors; zero for a node without neighbours.

    Raises:
        SslAudioError: the graph has no edge.
    """
    if not len(graph.neighbours):
        raise SslAudioError("the track graph has no edge: lower graph.min_weight")
    nodes = len(graph)
    sources = owners_of(graph.offsets)
    strength = np.bincount(sources, graph.weights, nodes)
    edges, noise = alias_table(graph.weights), alias_table(strength**0.75)
    rng = np.random.default_rng((settings.seed, 0))
    vectors = (rng.random((nodes, settings.dimensions), np.float32) - 0.5) / settings.dimensions
    contexts = np.zeros_like(vectors)
    samples = settings.samples * int((strength > 0).sum())
    for part, start in enumerate(range(0, samples, PART)):
        count = min(PART, samples - start)
        falling = 1 - np.array([start, start + count]) / samples
        first, last = settings.learning_rate * np.maximum(falling, MIN_RATE)
        _train(
            sources, graph.neighbours, *edges, *noise, vectors, contexts, settings.negatives, count,
            first, last, np.random.default_rng((settings.seed, part + 1)),
        )  # fmt: skip
    vectors[strength == 0] = 0
    return vectors


@compiled(fastmath=True)
def pull(
    vector: np.ndarray, context: np.ndarray, label: float, rate: float, change: np.ndarray
) -> None:
    """An SGD step on -log sigmoid(+-vector @ context): of `context` in place, of `vector` in
    `change`.

    Args:
        vector, context, change: (dimensions,).
        label: 1.0 for an edge, 0.0 for a negative.
        rate: learning rate.
    """
    product = vector[0] * context[0]
    for k in range(1, len(vector)):
        product += vector[k] * context[k]
    step = rate * (label - 1 / (1 + math.exp(-product)))
    for k in range(len(vector)):
        change[k] += step * context[k]
        context[k] += step * vector[k]


@compiled()
def draw(keep: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> int:
    """One outcome of an alias table."""
    position = rng.random() * len(keep)
    slot = int(position)
    return slot if position - slot < keep[slot] else other[slot]


@compiled()
def _train(  # type: ignore[no-untyped-def]
    sources, targets, edge_keep, edge_other, noise_keep, noise_other, vectors, contexts, negatives,
    count, first, last, rng,
):  # fmt: skip
    """`count` samples at rates from `first` to `last`, in place.

    An edge is drawn with probability proportional to its weight, and all steps have the same size
    (section 4.2). A negative that is an end of the edge is left out.
    """
    change = np.zeros(vectors.shape[1], vectors.dtype)
    for number in range(count):
        rate = first + (last - first) * number / count
        edge = draw(edge_keep, edge_other, rng)
        vector, target = vectors[sources[edge]], targets[edge]
        change[:] = 0
        pull(vector, contexts[target], 1.0, rate, change)
        for _ in range(negatives):
            node = draw(noise_keep, noise_other, rng)
            if node != target and node != sources[edge]:
                pull(vector, contexts[node], 0.0, rate, change)
        for k in range(len(change)):
            vector[k] += change[k]
