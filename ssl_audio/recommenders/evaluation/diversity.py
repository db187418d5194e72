"""Neighbours that are close as items though of other categories: M2GRL, section 6.1.

Two metric matrices, one over item vectors and one over their relational vectors, are learnt with a
contrastive loss (equations 11 and 12). Which pairs are positive the paper leaves open. Here:

- positive: two items of one sequence, within the window, that share no category;
- negative, half: a positive's first item and another of one of its categories, in proportion to how
  often that occurs in sequences;
- negative, half: the first item of one positive pair and the second of another, that share no
  category either.

All three draw items as sequences have them, so that popularity tells none apart; the first half
teaches what not to look for (the category), the second what to look for (what makes items of
different categories go together).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.evaluation.retrieval import highest
from ssl_audio.recommenders.models.skipgram import WindowPairs

POOL = 1_000_000  # co-occurring pairs from which positives are taken
BLOCK = 1024  # queries scored at a time


class MultiViewMetric(nn.Module):
    """d(a, b) = d_i(a, b) + d_ic(a, b), each a quadratic form of the two's difference.

    M = L^T L, so that it is positive semidefinite whatever L becomes; and d(a, b) is the squared
    Euclidean distance of `vectors`, which any nearest-neighbour index can serve. Both start as
    multiples of the identity, at which a view's mean over pairs of items is half the margin.

    Args:
        item: (items, d) vectors of items: `M2GRL.vectors`.
        relational: (items, d') their relational vectors: `M2GRL.relational`.
        margin: the distance from which on a negative pair costs nothing.
        learning_rate: of Adam.
    """

    item: Tensor
    relational: Tensor

    def __init__(
        self,
        item: np.ndarray,
        relational: np.ndarray,
        margin: float = 1.0,
        learning_rate: float = 0.01,
    ) -> None:
        super().__init__()
        self.margin, self.learning_rate = margin, learning_rate
        self.register_buffer("item", torch.from_numpy(np.asarray(item, np.float32)))
        self.register_buffer("relational", torch.from_numpy(np.asarray(relational, np.float32)))
        self.item_root = nn.Parameter(_start(self.item, margin / 2))
        self.relational_root = nn.Parameter(_start(self.relational, margin / 2))

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Equation 11: (pairs,) rows of items and (pairs,) of others to (pairs,), 0 or more."""
        items = (self.item[a] - self.item[b]) @ self.item_root.T
        relations = (self.relational[a] - self.relational[b]) @ self.relational_root.T
        return items.square().sum(1) + relations.square().sum(1)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Equation 12, of a batch of `DiversityPairs`: "total"."""
        d, y = self.distance(batch["a"], batch["b"]), batch["positive"]
        far = torch.clamp(self.margin - d, min=0).square()
        return {"total": (y * d.square() + (1 - y) * far).mean() / 2}

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam."""
        return [torch.optim.Adam(self.parameters(), self.learning_rate)]

    @torch.no_grad()
    def metrics(self) -> tuple[np.ndarray, np.ndarray]:
        """M_i (d, d) and M_ic (d', d'), positive semidefinite."""
        item, relational = self.item_root, self.relational_root
        return (item.T @ item).cpu().numpy(), (relational.T @ relational).cpu().numpy()

    @torch.no_grad()
    def vectors(self) -> np.ndarray:
        """(items, d + d') float32 whose squared Euclidean distance is d(a, b)."""
        parts = [self.item @ self.item_root.T, self.relational @ self.relational_root.T]
        return torch.cat(parts, 1).cpu().numpy()


def _start(vectors: Tensor, distance: float) -> Tensor:
    """A multiple of the identity by which the mean squared distance of rows is `distance`."""
    spread = 2 * float(vectors.var(0, unbiased=False).sum())
    return torch.eye(vectors.shape[1]) * (distance / max(spread, 1e-12)) ** 0.5


class DiversityPairs:
    """The batch of a step: half positive pairs, a quarter of either kind of negative ones.

    Args:
        sequences: of items.
        links: (links,) items and (links,) categories.
        sizes: how many items and how many categories.
        batch: pairs in a step.
        window: within which two items of a sequence co-occur, in positions.
        seed: of the drawing.

    Raises:
        SslAudioError: too few co-occurring pairs are of different categories.
    """

    def __init__(
        self,
        sequences: Playlists,
        links: tuple[np.ndarray, np.ndarray],
        sizes: tuple[int, int],
        batch: int = 2048,
        window: int = 9,
        seed: int = 0,
    ) -> None:
        self.batch, self.seed = batch, seed
        self.categories = category_matrix(links, sizes)
        pairs = WindowPairs(sequences, sizes[0], window)
        numbers = np.random.default_rng((seed, 0)).integers(len(pairs), size=POOL)
        at, offset = pairs.positions(numbers)
        a, b = pairs.tracks[at], pairs.tracks[at + offset]
        known = np.diff(self.categories.indptr) > 0
        apart = ~share_category(self.categories, a, b) & known[a] & known[b]
        self.a, self.b = a[apart].astype(np.int64), b[apart].astype(np.int64)
        if len(self.a) == 0:
            raise SslAudioError("no items of different categories occur together: nothing to learn")
        self.members = self.categories.T.tocsr()  # (categories, items)
        self.reach = np.cumsum(pairs.counts[self.members.indices])

    def __call__(self, step: int) -> dict[str, Tensor]:
        """A function of the seed and the step alone.

        Returns:
            int64 `a`, `b` (batch,) rows of items and float32 `positive` (batch,), 1 or 0.
        """
        rng = np.random.default_rng((self.seed, 1, step))
        far, same = self.batch // 4, self.batch // 4
        true = rng.integers(len(self.a), size=self.batch - far - same)
        first = self.a[rng.integers(len(self.a), size=same)]
        others, strangers = self._same_category(rng, first), self._strangers(rng, far)
        a = np.concatenate([self.a[true], first, strangers[0]])
        b = np.concatenate([self.b[true], others, strangers[1]])
        positive = np.zeros(self.batch, np.float32)
        positive[: len(true)] = 1
        return {"a": torch.from_numpy(a), "b": torch.from_numpy(b),
                "positive": torch.from_numpy(positive)}  # fmt: skip

    def _same_category(self, rng: np.random.Generator, items: np.ndarray) -> np.ndarray:
        """For each item another of one of its categories, by how often it occurs.

        It may be the item itself, where its distance is 0 and gives no gradient.
        """
        starts = self.categories.indptr
        pick = rng.integers(starts[items], starts[items + 1])
        category = self.categories.indices[pick]
        low, high = self.members.indptr[category], self.members.indptr[category + 1]
        below = np.where(low > 0, self.reach[low - 1], 0)
        drawn = rng.integers(below, self.reach[high - 1])  # the item itself occurs: never empty
        return self.members.indices[np.searchsorted(self.reach, drawn, side="right")].astype(
            np.int64
        )

    def _strangers(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Items of different positive pairs; where they share a category, they are redrawn once."""
        a = self.a[rng.integers(len(self.a), size=count)]
        b, again = self.b[rng.integers(len(self.b), size=(2, count))]
        return a, np.where(share_category(self.categories, a, b), again, b)


def category_matrix(links: tuple[np.ndarray, np.ndarray], sizes: tuple[int, int]) -> sp.csr_matrix:
    """(items, categories) int32, 1 where an item is of a category; links that repeat count once."""
    keys = np.unique(np.asarray(links[0], np.int64) * sizes[1] + links[1])
    owner, category = np.divmod(keys, sizes[1])
    return sp.csr_matrix((np.ones(len(keys), np.int32), (owner, category)), shape=sizes)


def share_category(categories: sp.csr_matrix, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(pairs,) whether two items have a category in common."""
    return np.asarray(categories[a].multiply(categories[b]).sum(1)).ravel() > 0


def diverse_neighbours(vectors: np.ndarray, k: int) -> np.ndarray:
    """The k nearest rows by Euclidean distance, itself left out, the nearest first.

    Args:
        vectors: (items, d), of `MultiViewMetric.vectors`.
        k: below the number of items.

    Returns:
        (items, k) rows.

    Raises:
        SslAudioError: k is not 1 to items - 1.
    """
    squared = (vectors**2).sum(1)
    return _nearest(vectors, k, lambda block: 2 * block @ vectors.T - squared)


def plain_neighbours(vectors: np.ndarray, k: int) -> np.ndarray:
    """The k rows of greatest inner product: the base model of section 6.1.

    Arguments, result and errors are those of `diverse_neighbours`.
    """
    return _nearest(vectors, k, lambda block: block @ vectors.T)


def _nearest(vectors: np.ndarray, k: int, score: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    if not 1 <= k < len(vectors):
        raise SslAudioError(f"k={k} neighbours of {len(vectors)} items: 1 to {len(vectors) - 1}")
    found = []
    for start in range(0, len(vectors), BLOCK):
        scores = score(vectors[start : start + BLOCK])
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -np.inf
        found.append(highest(scores, k))
    return np.concatenate(found)


def diversity_columns(
    neighbours: np.ndarray, categories: sp.csr_matrix, sequences: Playlists, window: int = 9
) -> dict[str, np.ndarray]:
    """How diverse and how relevant lists of neighbours are.

    Args:
        neighbours: (items, k) rows.
        categories: of `category_matrix`.
        sequences: of items, best those that were held out.
        window: within which items occur together, in positions.

    Returns:
        (items with a category,) each:

        - new: share of neighbours that have no category of the query, 0 to 1.
        - entropy: of the categories in a list, in bits; a neighbour of several is divided among
          them.
        - hits: share of neighbours that occur within the window of the query in the sequences.
        - new_hits: share that do both; divided by hits, of the means, it is section 6.1's discovery
          rate, with co-occurrence in place of clicks.
    """
    known = np.flatnonzero(np.diff(categories.indptr) > 0)
    lists = neighbours[known]
    query, flat = np.repeat(known, lists.shape[1]), lists.ravel()
    new = ~share_category(categories, query, flat)
    together = co_occurrence(sequences, categories.shape[0], window)
    hit = np.asarray(together[query, flat]).ravel() > 0

    def shares(found: np.ndarray) -> np.ndarray:
        return found.reshape(lists.shape).mean(1)

    return {
        "new": shares(new),
        "entropy": _entropies(lists, categories),
        "hits": shares(hit),
        "new_hits": shares(new & hit),
    }


def _entropies(lists: np.ndarray, categories: sp.csr_matrix) -> np.ndarray:
    """(lists,) bits."""
    count = np.maximum(np.diff(categories.indptr), 1)
    divided = sp.diags(1.0 / count) @ categories
    rows = np.repeat(np.arange(len(lists)), lists.shape[1])
    shape = (len(lists), categories.shape[0])
    mass = sp.csr_matrix((np.ones(lists.size), (rows, lists.ravel())), shape=shape) @ divided
    mass = sp.csr_matrix(mass)
    owner = np.repeat(np.arange(len(lists)), np.diff(mass.indptr))
    total = np.bincount(owner, mass.data, len(lists))
    share = mass.data / total[owner]
    return np.bincount(owner, -share * np.log2(share), len(lists))


def co_occurrence(sequences: Playlists, items: int, window: int) -> sp.csr_matrix:
    """(items, items) symmetric: how often two items are within the window of one sequence."""
    total = sp.csr_matrix((items, items), dtype=np.int64)
    tracks, owners = sequences.tracks, sequences.owners
    for gap in range(1, window + 1):
        inside = owners[gap:] == owners[:-gap]
        pair = tracks[:-gap][inside], tracks[gap:][inside]
        total += sp.csr_matrix((np.ones(len(pair[0]), np.int64), pair), shape=(items, items))
    return total + total.T
