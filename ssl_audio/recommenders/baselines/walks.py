"""Random walks on a weighted graph: first-order (DeepWalk) and second-order (node2vec).

Perozzi et al. 2014, "DeepWalk"; Grover and Leskovec 2016, "node2vec", section 3.2. Second-order
steps are drawn by rejection (Yang et al. 2019, "KnightKing"), without a table for each edge.
"""

import numpy as np

from ssl_audio.io.compiled import compiled
from ssl_audio.recommenders.data.csr import offsets_of
from ssl_audio.recommenders.data.graph import TrackGraph

END = -1  # fills a walk's row after a node without neighbours


class Walks:
    """Walks from every node that has neighbours, in rounds.

    Args:
        graph: with weights that are whole numbers.
        length: nodes in a walk, its first included.
        p: return parameter; a low one makes a step back likely.
        q: in-out parameter; a low one makes steps away likely. p = q = 1 are first-order walks.
        seed: of the walks.
    """

    def __init__(
        self, graph: TrackGraph, length: int, p: float = 1.0, q: float = 1.0, seed: int = 0
    ) -> None:
        self.offsets, self.neighbours = graph.offsets, graph.neighbours
        self.ends = offsets_of(graph.weights)  # sums of whole numbers are exact
        self.length, self.p, self.q, self.seed = length, p, q, seed

    def round(self, number: int) -> np.ndarray:
        """(nodes with neighbours, length) int32, a walk from each in random order.

        A function of the seed and the number alone. -1 follows a node without neighbours.
        """
        rng = np.random.default_rng((self.seed, number))
        starts = rng.permutation(np.flatnonzero(np.diff(self.offsets))).astype(np.int32)
        walks = np.full((len(starts), self.length), END, np.int32)
        graph = (self.offsets, self.neighbours, self.ends)
        if self.p == self.q == 1:
            _first_order(*graph, starts, walks, rng)
        else:
            _second_order(*graph, starts, walks, rng, 1.0 / self.p, 1.0 / self.q)
        return walks


@compiled()
def _draw(ends: np.ndarray, low: int, high: int, share: float) -> int:
    """The edge of [low, high) at a share, 0 to below 1, of their summed weights."""
    target = ends[low] + np.int64(share * (ends[high] - ends[low]))
    high -= 1
    while low < high:  # the first edge whose end is above the target
        middle = (low + high) // 2
        if ends[middle + 1] > target:
            high = middle
        else:
            low = middle + 1
    return low


@compiled()
def _find(neighbours: np.ndarray, low: int, high: int, node: int) -> int:
    """The edge of [low, high) to a node; -1 if there is none."""
    edge = low + int(np.searchsorted(neighbours[low:high], node))
    return edge if edge < high and neighbours[edge] == node else -1


@compiled()
def _first_order(  # type: ignore[no-untyped-def]
    offsets, neighbours, ends, starts, walks, rng
):
    """Fill (walks, length) with steps of probability proportional to the edges' weights."""
    for walk in range(len(starts)):
        node = starts[walk]
        walks[walk, 0] = node
        for step in range(1, walks.shape[1]):
            low, high = offsets[node], offsets[node + 1]
            if low == high:
                break
            node = neighbours[_draw(ends, low, high, rng.random())]
            walks[walk, step] = node


@compiled()
def _second_order(  # type: ignore[no-untyped-def]
    offsets, neighbours, ends, starts, walks, rng, back, away
):
    """Fill (walks, length) with steps of probability proportional to alpha_pq(previous, next) times
    the weight: alpha is 1 / p for a step back, 1 to a common neighbour, else 1 / q (section 3.2.2).
    """
    for walk in range(len(starts)):
        node, previous = starts[walk], -1
        walks[walk, 0] = node
        for step in range(1, walks.shape[1]):
            if offsets[node] == offsets[node + 1]:
                break
            chosen = _second_order_edge(offsets, neighbours, ends, node, previous, rng, back, away)
            previous, node = node, neighbours[chosen]
            walks[walk, step] = node


@compiled()
def _second_order_edge(  # type: ignore[no-untyped-def]
    offsets, neighbours, ends, node, previous, rng, back, away
):
    """An edge of a node that was reached from `previous` (-1: none), by rejection.

    An edge is drawn by weight and accepted with probability alpha over the largest alpha. If the
    largest is that of the way back alone, its excess over the others is drawn separately, so that a
    low p makes few rejections.
    """
    low, high = offsets[node], offsets[node + 1]
    if previous < 0:
        return _draw(ends, low, high, rng.random())
    highest, lowest = max(1.0, away), min(1.0, away)
    returning, excess = _find(neighbours, low, high, previous), 0.0
    if returning >= 0 and back > highest:
        excess = (back - highest) * (ends[returning + 1] - ends[returning])
    body = highest * (ends[high] - ends[low])
    while True:
        if excess > 0 and rng.random() * (body + excess) >= body:
            return returning
        chosen = _draw(ends, low, high, rng.random())
        height = rng.random() * highest
        if chosen == returning:
            if height < back:
                return chosen
        elif height < lowest:  # accepted in both cases, without the search
            return chosen
        else:
            next_node = neighbours[chosen]
            end = offsets[previous + 1]
            common = _find(neighbours, offsets[previous], end, next_node)
            if height < (1.0 if common >= 0 else away):
                return chosen
