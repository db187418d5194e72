"""A metric by which neighbours are similar as items though of other categories: M2GRL, section 6.1.

Two metric matrices, one over item vectors and one over relational vectors, are learnt with a
contrastive loss (equations 11 and 12). The paper does not define its positive and negative pairs.
Here:

- positive: two items within the window of one sequence that share no category;
- negative, half: the first item of a positive pair and another of one of its categories, drawn in
  proportion to its frequency in the sequences: similarity by category is not the aim;
- negative, half: items of two different positive pairs that share no category: co-occurrence is.

All three draw items by their frequency, so that popularity does not distinguish them.
"""

import numpy as np
import torch
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.evaluation.diversity import category_matrix, share_category
from ssl_audio.recommenders.models.m2grl_batches import Links, WindowPairs

POOL = 1_000_000  # co-occurring pairs from which positives are taken


class DiversityMetric(nn.Module):
    """d(a, b) = d_i(a, b) + d_ic(a, b), quadratic forms of differences (equation 11).

    M = L^T L is positive semidefinite, and d(a, b) is the squared Euclidean distance of `vectors`.
    Both forms start as multiples of the identity with a mean distance of half the margin.

    Args:
        item: (items, d) item vectors of M2GRL.
        relational: (items, d') relational vectors of M2GRL.
        margin: distance from which on a negative pair has no loss.
    """

    item: Tensor
    relational: Tensor

    def __init__(
        self, item: np.ndarray, relational: np.ndarray, margin: float = 1.0,
        learning_rate: float = 0.01,
    ) -> None:  # fmt: skip
        super().__init__()
        self.margin, self.learning_rate = margin, learning_rate
        self.register_buffer("item", torch.from_numpy(np.asarray(item, np.float32)))
        self.register_buffer("relational", torch.from_numpy(np.asarray(relational, np.float32)))
        self.item_root = nn.Parameter(_start(self.item, margin / 2))
        self.relational_root = nn.Parameter(_start(self.relational, margin / 2))

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """(pairs,) distances of two rows of items each, (pairs,); 0 or more."""
        items = (self.item[a] - self.item[b]) @ self.item_root.T
        relations = (self.relational[a] - self.relational[b]) @ self.relational_root.T
        return items.square().sum(1) + relations.square().sum(1)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Equation 12, of a batch of `DiversityPairs`: "total"."""
        d, y = self.distance(batch["a"], batch["b"]), batch["positive"]
        far = torch.clamp(self.margin - d, min=0).square()
        return {"total": (y * d.square() + (1 - y) * far).mean() / 2}

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.Adam(self.parameters(), self.learning_rate)]

    @torch.no_grad()
    def vectors(self) -> np.ndarray:
        """(items, d + d') float32 whose squared Euclidean distance is d(a, b)."""
        parts = [self.item @ self.item_root.T, self.relational @ self.relational_root.T]
        return torch.cat(parts, 1).cpu().numpy()


def _start(vectors: Tensor, distance: float) -> Tensor:
    """The multiple of the identity by which the mean squared distance of rows is `distance`."""
    spread = 2 * float(vectors.var(0, unbiased=False).sum())
    return torch.eye(vectors.shape[1]) * (distance / max(spread, 1e-12)) ** 0.5


class DiversityPairs:
    """The batch of a step: half positive pairs, a quarter of each kind of negative ones.

    Args:
        sequences: of items.
        links: (links,) items and (links,) categories.
        sizes: number of items and of categories.
        window: within which two items of a sequence co-occur, in positions.

    Raises:
        SslAudioError: no co-occurring items share no category.
    """

    def __init__(
        self, sequences: Playlists, links: Links, sizes: tuple[int, int], batch_size: int = 2048,
        window: int = 9, seed: int = 0,
    ) -> None:  # fmt: skip
        self.batch_size, self.seed = batch_size, seed
        self.categories = category_matrix(links, sizes)
        pairs = WindowPairs(sequences, sizes[0], window)
        numbers = np.random.default_rng((seed, 0)).integers(len(pairs), size=POOL)
        at, offset = pairs.positions(numbers)
        a, b = pairs.tracks[at], pairs.tracks[at + offset]
        known = np.diff(self.categories.indptr) > 0
        apart = ~share_category(self.categories, a, b) & known[a] & known[b]
        self.a, self.b = a[apart].astype(np.int64), b[apart].astype(np.int64)
        if len(self.a) == 0:
            raise SslAudioError("no items of different categories co-occur: nothing to learn")
        self.members = self.categories.T.tocsr()  # (categories, items)
        self.reach = np.cumsum(pairs.counts[self.members.indices])

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step, a function of the seed and the step alone.

        Returns:
            `a`, `b`: (batch_size,) int64 rows of items; `positive`: (batch_size,) float32, 1 or 0.
        """
        rng = np.random.default_rng((self.seed, 1, step))
        count = self.batch_size // 4
        positives = rng.integers(len(self.a), size=self.batch_size - 2 * count)
        first = self.a[rng.integers(len(self.a), size=count)]
        others, unrelated = self._same_category(rng, first), self._unrelated(rng, count)
        a = np.concatenate([self.a[positives], first, unrelated[0]])
        b = np.concatenate([self.b[positives], others, unrelated[1]])
        positive = np.zeros(self.batch_size, np.float32)
        positive[: len(positives)] = 1
        return {"a": torch.from_numpy(a), "b": torch.from_numpy(b),
                "positive": torch.from_numpy(positive)}  # fmt: skip

    def _same_category(self, rng: np.random.Generator, items: np.ndarray) -> np.ndarray:
        """For each item another of one of its categories, in proportion to its frequency.

        It may be the item itself, where its distance is 0 and gives no gradient.
        """
        starts = self.categories.indptr
        pick = rng.integers(starts[items], starts[items + 1])
        category = self.categories.indices[pick]
        low, high = self.members.indptr[category], self.members.indptr[category + 1]
        below = np.where(low > 0, self.reach[low - 1], 0)
        drawn = rng.integers(below, self.reach[high - 1])  # the item itself occurs: never empty
        place = np.searchsorted(self.reach, drawn, side="right")
        return self.members.indices[place].astype(np.int64)

    def _unrelated(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Items of different positive pairs; where they share a category, they are redrawn once."""
        a = self.a[rng.integers(len(self.a), size=count)]
        b, again = self.b[rng.integers(len(self.b), size=(2, count))]
        return a, np.where(share_category(self.categories, a, b), again, b)
