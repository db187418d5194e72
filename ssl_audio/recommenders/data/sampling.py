"""What a graph model is shown of a graph: neighbours of tracks, and pairs of tracks.

MUSIG, section 3.4: "we uniformly sample a fixed-size set of neighbors"; section 3.5: pairs of a
track and another "derived either from neighborhood of s_i, or negatively sampled from elsewhere".
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.graph import TrackGraph

BITS = 31  # of the random numbers: a neighbour's chance is off by degree / 2^31 of itself at most
ROUNDS = 8  # of drawing negatives by degree anew, before what is left is drawn uniformly


class NeighbourSampler:
    """Neighbours drawn uniformly, with replacement, by one gather from compressed rows.

    Args:
        offsets: (tracks + 1,) int64, where each track's neighbours start.
        neighbours: (2 edges,) int32 or int64, on the same device; nodes and generators that are
            given later are on it, too.
    """

    def __init__(self, offsets: Tensor, neighbours: Tensor) -> None:
        self.offsets, self.neighbours = offsets, neighbours
        self._degrees = offsets.diff()
        self._starts = torch.where(self._degrees > 0, offsets[:-1], 0)  # always a place to look at

    def sample(self, nodes: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """A fixed number of neighbours of each node.

        Args:
            nodes: (n,) int64; -1 is no node, so that what was sampled can be sampled from.
            size: neighbours of each.
            generator: of the neighbours; the same state gives the same ones.

        Returns:
            (n, size) int64. A node without neighbours, and -1, have -1 in the whole row; another
            has none in it.
        """
        shape = (len(nodes), size)
        if not len(self.neighbours):
            return nodes.new_full(shape, -1)
        known = nodes.clamp(min=0)
        degrees = self._degrees.index_select(0, known)[:, None]
        places = torch.randint(
            2**BITS - 1, shape, generator=generator, device=nodes.device, dtype=torch.int32
        ) * degrees  # fmt: skip
        places.bitwise_right_shift_(BITS)  # a number below the degree, without a division
        places += self._starts.index_select(0, known)[:, None]
        found = self.neighbours.index_select(0, places.flatten()).view(shape).long()
        return found.masked_fill_((degrees == 0) | (nodes < 0)[:, None], -1)


class PairSampler:
    """Pairs to train on: edges, and as many pairs without an edge for each as are wanted.

    A batch is a function of the seed and its step. Edges are drawn without replacement: step after
    step goes through all of them in random order, and then again in another one; a batch may end
    one round and begin the next. By weight they are drawn with replacement. Which of an edge's
    tracks is on the left is a coin toss.

    A negative has the left track of its edge, and on the right any track that is neither it nor a
    neighbour of it. A left track with an edge to every other one has no such partner: another one
    takes its place in that negative, drawn uniformly from those that have.

    Args:
        graph: with an edge at least.
        positives_per_batch: edges in a batch.
        negatives_per_positive: 0 or more.
        seed: of all of it.
        by_weight: draw an edge in proportion to its weight.
        negative_power: draw the right track of a negative in proportion to this power of its degree
            (one without edges has the chance of one with a single edge). 0 is uniformly and exact.
            Others are drawn eight times over while they hit neighbours, and what still does, of
            tracks with hardly a partner left, is drawn uniformly.

    Raises:
        SslAudioError: no edges, or negatives wanted of a graph with all of them.
    """

    def __init__(
        self,
        graph: TrackGraph,
        positives_per_batch: int,
        negatives_per_positive: int,
        seed: int,
        by_weight: bool = False,
        negative_power: float = 0.0,
    ) -> None:
        if not graph.edges:
            raise SslAudioError("the graph has no edges to learn from: lower least_weight")
        self.graph, self.seed = graph, seed
        self.positives, self.negatives = positives_per_batch, negatives_per_positive
        self.left, self.right, weights = graph.upper()
        self.weights = np.cumsum(weights, dtype=np.int64) if by_weight else None
        self.partners = len(graph) - 1 - graph.degree  # of each track, without an edge to it
        self.partnered = np.flatnonzero(self.partners)
        if negatives_per_positive and not len(self.partnered):
            raise SslAudioError(
                "every track has an edge to every other one, so no pair is negative: "
                "raise least_weight"
            )
        chances = np.maximum(graph.degree, 1) ** negative_power
        self.chances = np.cumsum(chances / chances.sum()) if negative_power else None
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int32))  # of the last epoch used

    @property
    def steps_per_epoch(self) -> int:
        """Batches until every edge was drawn, where they are drawn without replacement."""
        return -(-self.graph.edges // self.positives)

    def pairs(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """The batch of a step, the edges first and then the negatives of each in turn.

        Returns:
            (B,) int64 left and (B,) int64 right tracks, and (B,) float32, 1 for an edge and 0 for
            none, with B = positives (1 + negatives).
        """
        rng = np.random.default_rng((self.seed, step))
        edges = self._edges(step, rng)
        tracks = np.stack([self.left[edges], self.right[edges]]).astype(np.int64)
        left, right = np.where(rng.random(len(edges)) < 0.5, tracks, tracks[::-1])
        others, strangers = self._negatives(np.repeat(left, self.negatives), rng)
        co_occur = torch.zeros(len(left) + len(others))
        co_occur[: len(left)] = 1
        return (
            torch.from_numpy(np.concatenate([left, others])),
            torch.from_numpy(np.concatenate([right, strangers])),
            co_occur,
        )

    def _edges(self, step: int, rng: np.random.Generator) -> np.ndarray:
        """(positives,) which edges the step has."""
        if self.weights is not None:
            drawn = rng.integers(self.weights[-1], size=self.positives)
            return np.searchsorted(self.weights, drawn, side="right")
        epochs, places = np.divmod(
            np.arange(step * self.positives, (step + 1) * self.positives), self.graph.edges
        )
        parts = [
            self._epoch(epoch)[places[epochs == epoch]]
            for epoch in range(epochs[0], epochs[-1] + 1)
        ]
        return np.concatenate(parts)

    def _epoch(self, epoch: int) -> np.ndarray:
        """(edges,) int32 or int64, the order of an epoch; that of the last one is kept."""
        known, order = self._order
        if known != epoch:
            kind = np.int32 if self.graph.edges < 2**31 else np.int64
            order = np.arange(self.graph.edges, dtype=kind)
            np.random.default_rng((self.seed, epoch, 1)).shuffle(order)  # another stream than steps
            self._order = (epoch, order)
        return order

    def _negatives(
        self, left: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n,) left and right tracks of pairs without an edge."""
        if not len(left):
            return left, left
        stand_in = self.partnered[rng.integers(len(self.partnered), size=len(left))]
        left = np.where(self.partners[left] > 0, left, stand_in)
        right = np.full(len(left), -1)
        if self.chances is not None:
            for draws in (1, ROUNDS - 1):  # all that most need, and at once what the others need
                wanted = np.flatnonzero(right < 0)
                right[wanted] = self._by_degree(left[wanted], draws, rng)
        wanted = np.flatnonzero(right < 0)
        right[wanted] = self._strangers(left[wanted], rng)
        return left, right

    def _by_degree(self, left: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) the first of some tracks drawn by degree without an edge to `left` (n,), or -1."""
        assert self.chances is not None
        drawn = np.searchsorted(self.chances, rng.random((len(left), draws)), side="right")
        drawn = np.minimum(drawn, len(self.graph) - 1)  # the last sum may round to below 1
        rows = np.broadcast_to(left[:, None], drawn.shape)
        good = drawn != rows
        good &= ~self.graph.has_edges(rows.ravel(), drawn.ravel()).reshape(drawn.shape)
        first = np.take_along_axis(drawn, good.argmax(1)[:, None], axis=1)[:, 0]
        return np.where(good.any(1), first, -1)

    def _strangers(self, left: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(n,) tracks drawn uniformly from those that are neither `left` (n,) nor its neighbours.

        A rank r is drawn below their number. The track of that rank is r + k with k the neighbours
        before it, and those are the ones whose number less their own rank is r at most: bisection
        finds k. The track itself is skipped by counting as if it were not there.
        """
        rank = rng.integers(self.partners[left])
        first = self.graph.offsets[left]

        def before(places: np.ndarray) -> np.ndarray:
            tracks = self.graph.neighbours[places]
            return tracks - (tracks > left) - (places - first) <= rank

        found = rank + self.graph.bisect(left, before)
        return found + (found >= left)
