"""EGES: an item's vector is merged from its own and those of its attributes.

Wang et al., "Billion-scale Commodity Embedding for E-commerce Recommendation in Alibaba", KDD 2018.
The vector of item v is a weighted mean of its own vector W_v^0 and one W_v^s for each kind of side
information, with learnt weights of its own (equation 6):

    H_v = sum_j exp(a_v^j) W_v^j / sum_j exp(a_v^j).

W_v^s is the mean over an item's attributes of a kind; a kind of which an item has none is left out
of both sums. An item in no sequence has no W_v^0: its vector is the plain mean of its side
information (section 3.3). EGESasy of M2GRL is this model, trained asynchronously.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.csr import group_by
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.models.m2grl_batches import ITEM, Links
from ssl_audio.recommenders.models.skipgram import (
    WindowPairs,
    has_sparse_gradients,
    initial_vectors,
    skip_gram_loss,
)
from ssl_audio.recommenders.recommender import VectorRecommender
from ssl_audio.recommenders.session_data import SessionData, views_of
from ssl_audio.settings.recommend import M2GRLSettings, RecommendSettings

ITEMS_AT_ONCE = 4096  # merged, for the vectors of all items
LEARNING_RATE = 3e-3


class EgesRecommender(VectorRecommender):
    """EGES with M2GRL's settings (A.3), except for the steps and the learning rate."""

    name = "EGES"

    def __init__(self, settings: RecommendSettings, data: TrainingData) -> None:
        super().__init__(settings, data)
        self.views = views_of(data)
        self.features = data.kind if isinstance(data, SessionData) else ""

    def train(self, folder: Path) -> np.ndarray:
        data, seed = self.data, self.settings.seed
        settings = replace(self.settings.m2grl, learning_rate=LEARNING_RATE)
        _, links, sizes = self.views
        batches = EGESBatches(data.train, data.tracks, settings, seed)
        model = EGES(links, sizes, batches.pairs.counts > 0, settings, seed)
        steps = settings.session_steps.eges if data.in_sessions else settings.steps
        self.fit_model(folder, steps, model, batches, clip=settings.clip)
        return data.in_training(model.vectors())


class EGESBatches:
    """Pairs of items within a window of a sequence, and negatives (M2GRL, appendix A.3)."""

    def __init__(
        self, sequences: Playlists, items: int, settings: M2GRLSettings, seed: int = 0
    ) -> None:
        self.pairs = WindowPairs(sequences, items, settings.window)
        self.settings, self.seed = settings, seed

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step: int64 `from` (batch,) and `to` (batch, 1 + negatives)."""
        rng = np.random.default_rng((self.seed, step))
        settings = self.settings
        centres, contexts = self.pairs.draw(rng, settings.batch_size, settings.negatives)
        return {
            "from": torch.from_numpy(centres.astype(np.int64)),
            "to": torch.from_numpy(contexts.astype(np.int64)),
        }


class EGES(nn.Module):
    """Item vectors merged with their side information.

    Args:
        links: of the items with values of each kind of side information.
        sizes: number of items ("item") and of values of each kind.
        seen: (items,) bool, True for items of the sequences.
        settings: of M2GRL, without its task weights.
    """

    owned: Tensor  # (items, 1 + kinds) bool, the vectors that an item has

    def __init__(
        self,
        links: Mapping[str, Links],
        sizes: Mapping[str, int],
        seen: np.ndarray,
        settings: M2GRLSettings,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.settings, self.kinds = settings, tuple(links)
        items, d = sizes[ITEM], settings.dimensions
        self.sparse = has_sparse_gradients(settings.sparse, items)
        self.item = self._table(initial_vectors(items, d, seed))
        self.output = self._table(torch.zeros(items, d))
        self.sides = nn.ModuleDict(
            {k: self._table(initial_vectors(sizes[k], d, seed + 1 + n))
             for n, k in enumerate(links)}
        )  # fmt: skip
        self.mixing = self._table(torch.zeros(items, 1 + len(links)))
        owned = [torch.from_numpy(np.asarray(seen, bool))]
        for kind, (owner, values) in links.items():
            order, offsets = group_by(owner, items)
            self.register_buffer(f"{kind}_values", torch.from_numpy(values[order].astype(np.int64)))
            self.register_buffer(f"{kind}_offsets", torch.from_numpy(offsets))
            owned.append(torch.from_numpy(np.diff(offsets) > 0))
        self.register_buffer("owned", torch.stack(owned, 1))

    def _table(self, vectors: Tensor) -> nn.Embedding:
        return nn.Embedding.from_pretrained(vectors, freeze=False, sparse=self.sparse)

    def forward(self, items: Tensor) -> Tensor:
        """H_v: (batch,) items to (batch, d); zeros for an item without any vector."""
        parts = [self.item(items), *(self._side(kind, items) for kind in self.kinds)]
        return (self.shares(items)[:, :, None] * torch.stack(parts, 1)).sum(1)

    def _side(self, kind: str, items: Tensor) -> Tensor:
        """(batch, d) mean vectors of the items' values of a kind; zeros without values."""
        values, offsets = self.get_buffer(f"{kind}_values"), self.get_buffer(f"{kind}_offsets")
        first, count = offsets[items], offsets[items + 1] - offsets[items]
        starts = torch.cumsum(count, 0) - count
        flat = torch.arange(int(count.sum()), device=items.device)
        flat = flat + torch.repeat_interleave(first - starts, count)
        table = self.sides[kind]
        assert isinstance(table, nn.Embedding)
        return F.embedding_bag(values[flat], table.weight, starts, mode="mean", sparse=table.sparse)

    def shares(self, items: Tensor) -> Tensor:
        """(batch, 1 + kinds) weights of equation 6; 0 for vectors that an item does not have."""
        owned = self.owned[items]
        logits = self.mixing(items).masked_fill(~owned, -torch.inf)
        return torch.softmax(logits, 1).masked_fill(~owned, 0.0)

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """ "total": skip-gram with negative sampling of H_v and output vectors."""
        return {"total": skip_gram_loss(self(batch["from"]), self.output(batch["to"]))}

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam, or SparseAdam for sparse gradients."""
        kind = torch.optim.SparseAdam if self.sparse else torch.optim.Adam
        return [kind(list(self.parameters()), self.settings.learning_rate)]

    @torch.no_grad()
    def vectors(self) -> np.ndarray:
        """(items, d) float32 H_v of all items, also of those in no sequence."""
        items = torch.arange(len(self.owned), device=self.owned.device)
        return torch.cat([self(part) for part in items.split(ITEMS_AT_ONCE)]).cpu().numpy()
