"""Random walks on a weighted graph: first-order (DeepWalk) and second-order (node2vec).

Perozzi et al. 2014, "DeepWalk"; Grover and Leskovec 2016, "node2vec", section 3.2. Second-order
steps are drawn by rejection (Yang et al. 2019, "KnightKing"), so no table per edge is kept.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.csr import offsets_of
from ssl_audio.recommenders.data.csr_compiled import find_sorted

END = -1  # fills a walk's row after a node without neighbours


class Walks:
    """Walks from every node that has neighbours; one round of them in memory at a time.

    Iterating gives `rounds` times (walks, length) int32 in an order that is random, each time the
    same: round r depends on (seed, r) alone.

    Args:
        offsets: (nodes + 1,) int64, where each node's neighbours start.
        neighbours: (edges,) int32, sorted within a node; an edge is listed from both its ends.
        weights: (edges,) whole numbers, above 0.
        length: nodes in a walk, its first included.
        rounds: walks from each node.
        p: a low one lets walks go back at once.
        q: a low one lets walks go far away; p = q = 1 are first-order walks.
        seed: of the walks.

    Raises:
        SslAudioError: a length or number of rounds below 1, or p or q not above 0.
        ValueError: a weight not above 0.
    """

    def __init__(
        self,
        offsets: np.ndarray,
        neighbours: np.ndarray,
        weights: np.ndarray,
        length: int = 80,
        rounds: int = 10,
        p: float = 1.0,
        q: float = 1.0,
        seed: int = 0,
    ) -> None:
        if min(length, rounds) < 1 or min(p, q) <= 0:
            raise SslAudioError(
                f"walks of length={length} rounds={rounds} p={p} q={q}: the first two are 1 or "
                "more, the others above 0"
            )
        if len(weights) and weights.min() <= 0:
            raise ValueError(f"an edge of weight {weights.min()}: weights are above 0")
        self.offsets, self.neighbours = offsets, neighbours
        # whole numbers add up without rounding, however many edges there are
        self.ends = offsets_of(weights)
        self.length, self.rounds, self.p, self.q, self.seed = length, rounds, p, q, seed

    def __len__(self) -> int:
        return self.rounds

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.round(number) for number in range(self.rounds))

    def round(self, number: int) -> np.ndarray:
        """(nodes with neighbours, length) int32, a walk from each; -1 after a dead end."""
        rng = np.random.default_rng((self.seed, number))
        starts = rng.permutation(np.flatnonzero(np.diff(self.offsets))).astype(np.int32)
        return self.from_nodes(starts, rng)

    def from_nodes(self, starts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(starts, length) int32, a walk from each of some nodes; -1 after a dead end."""
        walks = np.full((len(starts), self.length), END, np.int32)
        graph = (self.offsets, self.neighbours, self.ends)
        if self.p == self.q == 1:
            _first_order(*graph, starts, walks, rng)
        else:
            _second_order(*graph, starts, walks, rng, 1.0 / self.p, 1.0 / self.q)
        return walks


@njit(nogil=True)
def _drawn(ends: np.ndarray, low: int, high: int, share: float) -> int:
    """The edge of [low, high) at a share (0 to 1, not 1) of their summed weights."""
    wanted = ends[low] + np.int64(share * (ends[high] - ends[low]))
    high -= 1
    while low < high:  # the first edge whose end is above
        middle = (low + high) // 2
        if ends[middle + 1] > wanted:
            high = middle
        else:
            low = middle + 1
    return low


@njit(nogil=True)
def _first_order(
    offsets: np.ndarray,
    neighbours: np.ndarray,
    ends: np.ndarray,
    starts: np.ndarray,
    walks: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Fill (walks, length) by steps whose chances are as the edges' weights."""
    for walk in range(len(starts)):
        node = starts[walk]
        walks[walk, 0] = node
        for step in range(1, walks.shape[1]):
            low, high = offsets[node], offsets[node + 1]
            if low == high:
                break
            node = neighbours[_drawn(ends, low, high, rng.random())]
            walks[walk, step] = node


@njit(nogil=True)
def _second_order(
    offsets: np.ndarray,
    neighbours: np.ndarray,
    ends: np.ndarray,
    starts: np.ndarray,
    walks: np.ndarray,
    rng: np.random.Generator,
    back: float,
    far: float,
) -> None:
    """Fill (walks, length) by steps whose chances are as alpha_pq(before, next) times the weight.

    The alpha of going back is 1 / p, of a common neighbour 1, of any other 1 / q (equation in
    section 3.2.2). An edge is drawn by weight and kept by alpha over the largest; where the
    largest is the way back alone, the part of it above the others' is drawn for itself, so that a
    low p makes few rejections.
    """
    highest, lowest = max(1.0, far), min(1.0, far)
    for walk in range(len(starts)):
        node, before = starts[walk], -1
        walks[walk, 0] = node
        for step in range(1, walks.shape[1]):
            low, high = offsets[node], offsets[node + 1]
            if low == high:
                break
            returning, extra = -1, 0.0
            if before >= 0:
                returning = find_sorted(neighbours, low, high, before)
                if returning >= 0 and back > highest:
                    extra = (back - highest) * (ends[returning + 1] - ends[returning])
            body = highest * (ends[high] - ends[low])
            while True:
                if extra > 0 and rng.random() * (body + extra) >= body:
                    chosen = returning
                    break
                chosen = _drawn(ends, low, high, rng.random())
                if before < 0:
                    break
                height = rng.random() * highest
                if chosen == returning:
                    if height < back:
                        break
                elif height < lowest:  # kept whichever it is: spares the search
                    break
                else:
                    next_node = neighbours[chosen]
                    start, end = offsets[before], offsets[before + 1]
                    common = find_sorted(neighbours, start, end, next_node)
                    if height < (1.0 if common >= 0 else far):
                        break
            before, node = node, neighbours[chosen]
            walks[walk, step] = node
