"""LINE: vectors that keep first- or second-order proximity of a weighted graph.

Tang et al. 2015, "LINE: large-scale information network embedding", sections 4.1 and 4.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.baselines.alias import alias_table, draw
from ssl_audio.recommenders.data.csr import owners_of

LEAST_RATE = 1e-4  # of the first learning rate, at the end
PART = 1_000_000  # samples that are drawn from one generator


@dataclass(frozen=True)
class LineSettings:
    """How vectors are trained.

    Attributes:
        order: 2: nodes with like neighbours are near (equation 6); 1: neighbours are (equation 3).
        dimensions: of a vector.
        negative: random nodes against each edge, drawn by summed weight ** 0.75.
        samples: of edges, for each node that has neighbours: 5,000 is 80 million for 15,900 nodes.
        learning_rate: of the first step; it falls to 1 / 10,000 of that in a straight line. The
            paper's 0.025 needs many times the samples.
        seed: of all that is random.
    """

    order: int = 2
    dimensions: int = 64
    negative: int = 5
    samples: int = 5_000
    learning_rate: float = 0.1
    seed: int = 0


def line_vectors(
    offsets: np.ndarray,
    neighbours: np.ndarray,
    weights: np.ndarray,
    settings: LineSettings | None = None,
) -> np.ndarray:
    """(nodes, dimensions) float32 vectors; zero for a node without neighbours.

    Args:
        offsets: (nodes + 1,) int64, where each node's neighbours start.
        neighbours: (edges,) int32; an edge is listed from both its ends.
        weights: (edges,) above 0.
        settings: None is the defaults.

    Raises:
        SslAudioError: the graph has no edge, an order other than 1 and 2, or no samples.
    """
    settings = settings or LineSettings()
    if settings.order not in (1, 2):
        raise SslAudioError(f"order={settings.order}: 1 or 2")
    if settings.samples < 1:
        raise SslAudioError(f"samples={settings.samples}: 1 or more")
    if not len(neighbours):
        raise SslAudioError("the track graph has no edge: lower the least weight of an edge")
    nodes = len(offsets) - 1
    sources = owners_of(offsets)
    strength = np.bincount(sources, weights, nodes)
    edges, noise = alias_table(weights), alias_table(strength**0.75)
    rng = np.random.default_rng((settings.seed, 0))
    vectors = (rng.random((nodes, settings.dimensions), np.float32) - 0.5) / settings.dimensions
    contexts = np.zeros_like(vectors) if settings.order == 2 else vectors
    samples = settings.samples * int((strength > 0).sum())
    for part, start in enumerate(range(0, samples, PART)):
        count = min(PART, samples - start)
        falling = 1 - np.array([start, start + count]) / samples
        first, last = settings.learning_rate * np.maximum(falling, LEAST_RATE)
        _train(
            sources, neighbours, *edges, *noise, vectors, contexts, settings.negative, count,
            first, last, np.random.default_rng((settings.seed, part + 1)),
        )  # fmt: skip
    vectors[strength == 0] = 0
    return vectors


@njit(nogil=True, fastmath=True)
def pull(
    vector: np.ndarray, context: np.ndarray, label: float, rate: float, change: np.ndarray
) -> None:
    """A step on `-log sigmoid(+-vector @ context)` for the context; the vector's adds to `change`.

    Args:
        vector, context, change: (dimensions,).
        label: 1.0 for an edge, 0.0 for a negative.
        rate: of the step.
    """
    product = vector[0] * context[0]
    for k in range(1, len(vector)):
        product += vector[k] * context[k]
    step = rate * (label - 1 / (1 + math.exp(-product)))
    for k in range(len(vector)):
        change[k] += step * context[k]
        context[k] += step * vector[k]


@njit(nogil=True)
def _train(
    sources: np.ndarray,
    targets: np.ndarray,
    edge_keep: np.ndarray,
    edge_other: np.ndarray,
    noise_keep: np.ndarray,
    noise_other: np.ndarray,
    vectors: np.ndarray,
    contexts: np.ndarray,
    negative: int,
    count: int,
    first: float,
    last: float,
    rng: np.random.Generator,
) -> None:
    """`count` samples at a rate that goes from `first` to `last`, in place.

    An edge is drawn by its weight, as a step of the same size for each then stands for it
    (section 4.2); a negative that is an end of the edge is left out.
    """
    change = np.zeros(vectors.shape[1], vectors.dtype)
    for number in range(count):
        rate = first + (last - first) * number / count
        edge = draw(edge_keep, edge_other, rng)
        vector, target = vectors[sources[edge]], targets[edge]
        change[:] = 0
        pull(vector, contexts[target], 1.0, rate, change)
        for _ in range(negative):
            node = draw(noise_keep, noise_other, rng)
            if node != target and node != sources[edge]:
                pull(vector, contexts[node], 0.0, rate, change)
        for k in range(len(change)):
            vector[k] += change[k]
