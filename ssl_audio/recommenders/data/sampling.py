"""Random samples of a track graph: neighbours of tracks, and pairs of tracks.

MUSIG, section 3.4: "we uniformly sample a fixed-size set of neighbors"; section 3.5: pairs of a
track and another "derived either from neighborhood of s_i, or negatively sampled from elsewhere".
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.csr import bisect_rows
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.inversion import WeightedNumbers

BITS = 31  # of random integers; a neighbour's probability has a relative error of degree / 2^31
REDRAWS = 8  # draws of a negative by degree before it is drawn uniformly


class ShuffledEpochs:
    """Rows 0 to `rows` - 1 in batches: all of them in a random order, epoch after epoch.

    A batch is a function of the seed and the step alone; it may end one epoch and begin the next.

    Args:
        seed: seeds of the generator; -1 stands for the number of the epoch.
    """

    def __init__(self, rows: int, batch_size: int, seed: Sequence[int]) -> None:
        self.rows, self.batch_size, self.seed = rows, batch_size, tuple(seed)
        self._orders: dict[int, np.ndarray] = {}  # of the last two epochs

    def batch(self, step: int) -> np.ndarray:
        """(batch_size,) rows of one step."""
        places = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, within = np.divmod(places, self.rows)
        touched = range(epochs[0], epochs[-1] + 1)
        return np.concatenate([self._order(e)[within[epochs == e]] for e in touched])

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            order = np.arange(self.rows, dtype=np.int32 if self.rows < 2**31 else np.int64)
            seed = [epoch if part == -1 else part for part in self.seed]
            np.random.default_rng(seed).shuffle(order)
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}
            self._orders[epoch] = order
        return self._orders[epoch]


class NeighbourSampler(nn.Module):
    """Draws neighbours uniformly, with replacement, in a graph that has an edge."""

    neighbours: Tensor
    degrees: Tensor
    starts: Tensor

    def __init__(self, graph: TrackGraph) -> None:
        super().__init__()
        offsets, neighbours = torch.from_numpy(graph.offsets), torch.from_numpy(graph.neighbours)
        degrees = offsets.diff()
        starts = torch.where(degrees > 0, offsets[:-1], 0)  # always a valid position
        data = {"neighbours": neighbours, "degrees": degrees, "starts": starts}
        for name, values in data.items():
            self.register_buffer(name, values, persistent=False)

    def sample(self, nodes: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """A fixed number of neighbours of each node.

        Args:
            nodes: (n,) int64, on the sampler's device.
            size: neighbours of each node.
            generator: source of randomness, on the same device.

        Returns:
            (n, size) int64; rows of nodes without neighbours are all -1.
        """
        shape = (len(nodes), size)
        degrees = self.degrees.index_select(0, nodes)[:, None]
        places = torch.randint(
            2**BITS - 1, shape, generator=generator, device=nodes.device, dtype=torch.int32
        ) * degrees  # fmt: skip
        places.bitwise_right_shift_(BITS)  # a number below the degree, without a division
        places += self.starts.index_select(0, nodes)[:, None]
        found = self.neighbours.index_select(0, places.flatten()).view(shape).long()
        return found.masked_fill_(degrees == 0, -1)


class PairSampler:
    """Training pairs: edges, and for each edge some pairs without an edge.

    A batch is a function of the seed and the step. Edges are drawn without replacement
    (`ShuffledEpochs`), or with it in proportion to their weights; which track of an edge is on the
    left is random.

    A negative has the left track of its edge, and on the right any track that is neither it nor a
    neighbour of it. A left track with edges to all others has no such partner: its negatives use
    another left track instead, drawn uniformly from those that have one.

    Args:
        graph: with at least one edge.
        positives: edges in a batch.
        negatives: negatives of each edge, 1 or more.
        negative_power: the right track of a negative is drawn with probability proportional to
            max(degree, 1) ** negative_power. 0 is uniform and exact. Otherwise a draw that hits a
            neighbour is repeated up to eight times, and then made uniformly.
        by_weight: draw edges in proportion to their weights, instead of each once an epoch.

    Raises:
        SslAudioError: a complete graph, which has no negatives.
    """

    def __init__(
        self,
        graph: TrackGraph,
        positives: int,
        negatives: int,
        seed: int,
        negative_power: float = 0.0,
        by_weight: bool = False,
    ) -> None:
        self.graph, self.positives, self.negatives, self.seed = graph, positives, negatives, seed
        self.left, self.right, weights = graph.upper()
        self.edge_ends = np.cumsum(weights, dtype=np.int64) if by_weight else None
        self.epochs = ShuffledEpochs(graph.edges, positives, (seed, -1, 1))
        self.partners = len(graph) - 1 - graph.degree  # of each track: tracks without an edge to it
        self.partnered = np.flatnonzero(self.partners)
        if not len(self.partnered):
            raise SslAudioError(
                "every track has an edge to every other one, so no pair is negative: "
                "raise graph.min_weight"
            )
        noise = np.maximum(graph.degree, 1) ** negative_power
        self.noise = WeightedNumbers(noise) if negative_power else None

    def pairs(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """The batch of a step: first the edges, then the negatives of each edge in turn.

        Returns:
            (B,) int64 left and (B,) int64 right tracks, and (B,) float32, 1 for edges and 0 for
            negatives, with B = positives (1 + negatives).
        """
        rng = np.random.default_rng((self.seed, step))
        if self.edge_ends is None:
            edges = self.epochs.batch(step)
        else:  # an edge of weight w has w of the numbers below the sum
            drawn = rng.integers(self.edge_ends[-1], size=self.positives)
            edges = np.searchsorted(self.edge_ends, drawn, side="right")
        tracks = np.stack([self.left[edges], self.right[edges]]).astype(np.int64)
        left, right = np.where(rng.random(len(edges)) < 0.5, tracks, tracks[::-1])
        lefts, rights = self._negatives(np.repeat(left, self.negatives), rng)
        co_occur = torch.zeros(len(left) + len(lefts))
        co_occur[: len(left)] = 1
        return (
            torch.from_numpy(np.concatenate([left, lefts])),
            torch.from_numpy(np.concatenate([right, rights])),
            co_occur,
        )

    def _negatives(
        self, left: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(n,) left and right tracks of pairs without an edge."""
        replacement = self.partnered[rng.integers(len(self.partnered), size=len(left))]
        left = np.where(self.partners[left] > 0, left, replacement)
        right = np.full(len(left), -1)
        if self.noise is not None:
            for draws in (1, REDRAWS - 1):  # most need one; the rest are drawn in one call
                missing = np.flatnonzero(right < 0)
                right[missing] = self._by_degree(left[missing], draws, rng)
        missing = np.flatnonzero(right < 0)
        right[missing] = self._uniform(left[missing], rng)
        return left, right

    def _by_degree(self, left: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
        """(n,) the first of some tracks drawn by degree without an edge to `left` (n,), or -1."""
        assert self.noise is not None
        drawn = self.noise.draw(rng, (len(left), draws))
        rows = np.broadcast_to(left[:, None], drawn.shape)
        good = drawn != rows
        good &= ~self.graph.has_edges(rows.ravel(), drawn.ravel()).reshape(drawn.shape)
        first = np.take_along_axis(drawn, good.argmax(1)[:, None], axis=1)[:, 0]
        return np.where(good.any(1), first, -1)

    def _uniform(self, left: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(n,) tracks drawn uniformly from those that are neither `left` (n,) nor its neighbours.

        A rank r is drawn below their number. The track of rank r is r + k, with k the number of
        neighbours before it: the neighbours whose number minus their own rank is at most r, which
        bisection counts. `left` itself is skipped by counting as if it were not there.
        """
        rank = rng.integers(self.partners[left])
        first = self.graph.offsets[left]

        def before(positions: np.ndarray) -> np.ndarray:
            tracks = self.graph.neighbours[positions]
            return tracks - (tracks > left) - (positions - first) <= rank

        found = rank + bisect_rows(self.graph.offsets, left, before)
        return found + (found >= left)
