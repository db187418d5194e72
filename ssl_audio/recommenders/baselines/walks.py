"""Random walks on a weighted graph: first-order (DeepWalk) and second-order (node2vec).

Perozzi et al. 2014, "DeepWalk"; Grover and Leskovec 2016, "node2vec", section 3.2. Second-order
steps are drawn by rejection (Yang et al. 2019, "KnightKing"), without a table for each edge.
"""

import numpy as np

from ssl_audio.io.compiled import compiled
from ssl_audio.recommenders.data.csr import offsets_of
from ssl_audio.recommenders.data.graph import TrackGraph


class Walks:
    """Walks from every node that has neighbours, in rounds.

    Args:
        graph: its edges are in both directions, so that a walk never ends.
        length: nodes in a walk, its first included.
        q: in-out parameter; a low one makes steps away likely. q = 1 are first-order walks. The
            return parameter p is 1.
    """

    def __init__(self, graph: TrackGraph, length: int, q: float, seed: int = 0) -> None:
        self.offsets, self.neighbours = graph.offsets, graph.neighbours
        self.ends = offsets_of(graph.weights)  # sums of whole numbers are exact
        self.length, self.q, self.seed = length, q, seed

    def round(self, number: int) -> np.ndarray:
        """(nodes with neighbours, length) int32, a walk from each in random order.

        A function of the seed and the number alone.
        """
        rng = np.random.default_rng((self.seed, number))
        starts = rng.permutation(np.flatnonzero(np.diff(self.offsets))).astype(np.int32)
        walks = np.empty((len(starts), self.length), np.int32)
        graph = (self.offsets, self.neighbours, self.ends)
        if self.q == 1:
            _first_order(*graph, starts, walks, rng)
        else:
            _second_order(*graph, starts, walks, rng, 1.0 / self.q)
        return walks


@compiled()
def _draw(ends: np.ndarray, low: int, high: int, share: float) -> int:
    """The edge of [low, high) at a share, 0 to below 1, of their summed weights."""
    target = ends[low] + np.int64(share * (ends[high] - ends[low]))
    # the first edge whose end is above the target
    return low + int(np.searchsorted(ends[low + 1 : high], target, side="right"))


@compiled()
def _has(ascending: np.ndarray, node: int) -> bool:
    """Whether a node is among ascending ones."""
    place = np.searchsorted(ascending, node)
    return bool(place < len(ascending) and ascending[place] == node)


@compiled()
def _first_order(  # type: ignore[no-untyped-def]
    offsets, neighbours, ends, starts, walks, rng
):
    """Fill (walks, length) with steps of probability proportional to the edges' weights."""
    for walk in range(len(starts)):
        node = starts[walk]
        walks[walk, 0] = node
        for step in range(1, walks.shape[1]):
            node = neighbours[_draw(ends, offsets[node], offsets[node + 1], rng.random())]
            walks[walk, step] = node


@compiled()
def _second_order(  # type: ignore[no-untyped-def]
    offsets, neighbours, ends, starts, walks, rng, away
):
    """Fill (walks, length) with steps of probability proportional to alpha(previous, next) times
    the weight: alpha is 1 for a step back or to a common neighbour, else 1 / q (section 3.2.2).
    """
    for walk in range(len(starts)):
        node, previous = starts[walk], -1
        walks[walk, 0] = node
        for step in range(1, walks.shape[1]):
            chosen = _second_order_edge(offsets, neighbours, ends, node, previous, rng, away)
            previous, node = node, neighbours[chosen]
            walks[walk, step] = node


@compiled()
def _second_order_edge(  # type: ignore[no-untyped-def]
    offsets, neighbours, ends, node, previous, rng, away
):
    """An edge of a node that was reached from `previous` (-1: none), by rejection.

    An edge is drawn by weight and accepted with probability alpha over the largest alpha.
    """
    low, high = offsets[node], offsets[node + 1]
    if previous < 0:
        return _draw(ends, low, high, rng.random())
    highest, lowest = max(1.0, away), min(1.0, away)
    first, end = offsets[previous], offsets[previous + 1]
    while True:
        chosen = _draw(ends, low, high, rng.random())
        height = rng.random() * highest
        if height < lowest:  # accepted in any case, without the search
            return chosen
        near = neighbours[chosen] == previous or _has(neighbours[first:end], neighbours[chosen])
        if height < (1.0 if near else away):
            return chosen
