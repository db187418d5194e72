"""EGES (Wang et al., "Billion-scale Commodity Embedding for E-commerce Recommendation in Alibaba",
KDD 2018): an item's vector is merged from its own and those of its attributes.

The vector of item v is the average of its own vector W_v^0 and that of each kind of side
information W_v^s, with weights of its own that are learnt (its equation 6):

    H_v = sum_j exp(a_v^j) W_v^j / sum_j exp(a_v^j).

M2GRL's EGESasy is this model, trained asynchronously on Aligraph; here steps are synchronous. Two
things are this file's: where an item has several attributes of a kind, W_v^s is their mean, and a
kind that it has none of is left out of both sums. An item in no sequence is left without W_v^0, so
that a new one has the plain mean of its side information (section 3.3 there).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.csr import group_by
from ssl_audio.recommenders.models.m2grl_batches import ITEM
from ssl_audio.recommenders.models.skipgram import WindowPairs, initial_vectors, skip_gram_loss
from ssl_audio.settings.recommend import M2GRLSettings

BLOCK = 4096  # items merged at a time, for the vectors of all


class EGESBatches:
    """Pairs of items within a window of a sequence, and negatives; appendix A.3: as for M2GRL.

    Args:
        sequences: of items.
        items: how many there are.
        settings: batch, window, negatives.
        seed: of the drawing.
    """

    def __init__(
        self, sequences: Playlists, items: int, settings: M2GRLSettings, seed: int = 0
    ) -> None:
        self.pairs = WindowPairs(sequences, items, settings.window)
        self.settings, self.seed = settings, seed

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step: int64 `from` (batch,) and `to` (batch, 1 + negatives)."""
        rng = np.random.default_rng((self.seed, step))
        centres, contexts = self.pairs.draw(rng, self.settings.batch_size, self.settings.negatives)
        return {
            "from": torch.from_numpy(centres.astype(np.int64)),
            "to": torch.from_numpy(contexts.astype(np.int64)),
        }


class EGES(nn.Module):
    """Item vectors merged with their side information.

    Args:
        links: of each kind of side information, (links,) items and (links,) values.
        sizes: how many items ("item") and how many values of each kind.
        seen: (items,) whether each is in a sequence: `EGESBatches.pairs.counts > 0`.
        settings: of M2GRL; its weights are not used.
        seed: of the first vectors.

    Raises:
        SslAudioError: links of a kind without a size.
    """

    owned: Tensor  # (items, 1 + kinds) which vectors an item has

    def __init__(
        self,
        links: Mapping[str, tuple[np.ndarray, np.ndarray]],
        sizes: Mapping[str, int],
        seen: np.ndarray,
        settings: M2GRLSettings,
        seed: int = 0,
    ) -> None:
        super().__init__()
        unknown = set(links) - set(sizes)
        if unknown:
            raise SslAudioError(f"links of {sorted(unknown)}, sizes of {sorted(sizes)}")
        self.settings, self.kinds, items = settings, tuple(links), sizes[ITEM]
        self.item = self._table(items, seed)
        self.output = self._table(items, None)
        self.sides = nn.ModuleDict(
            {k: self._table(sizes[k], seed + 1 + n) for n, k in enumerate(links)}
        )
        self.mixing = self._table(items, None, 1 + len(links))
        owned = [torch.from_numpy(np.asarray(seen, bool))]
        for kind, (owner, values) in links.items():
            order, starts = group_by(owner, items)
            self.register_buffer(f"{kind}_values", torch.from_numpy(values[order].astype(np.int64)))
            self.register_buffer(f"{kind}_starts", torch.from_numpy(starts))
            owned.append(torch.from_numpy(np.diff(starts) > 0))
        self.register_buffer("owned", torch.stack(owned, 1))

    def _table(self, rows: int, seed: int | None, dimensions: int | None = None) -> nn.Embedding:
        d = dimensions or self.settings.dimensions
        start = torch.zeros(rows, d) if seed is None else initial_vectors(rows, d, seed)
        return nn.Embedding.from_pretrained(start, freeze=False, sparse=self.settings.sparse)

    def forward(self, items: Tensor) -> Tensor:
        """H_v: (batch,) items to (batch, d); zeros for one that has no vector at all."""
        parts = [self.item(items), *(self._side(kind, items) for kind in self.kinds)]
        return (self._shares(items)[:, :, None] * torch.stack(parts, 1)).sum(1)

    def _side(self, kind: str, items: Tensor) -> Tensor:
        """(batch, d) mean vectors of the values that items have of a kind; zeros for none."""
        starts, values = self.get_buffer(f"{kind}_starts"), self.get_buffer(f"{kind}_values")
        first, count = starts[items], starts[items + 1] - starts[items]
        offsets = torch.cumsum(count, 0) - count
        flat = torch.arange(int(count.sum()), device=items.device)
        flat = flat + torch.repeat_interleave(first - offsets, count)
        table = self.sides[kind]
        assert isinstance(table, nn.Embedding)
        return F.embedding_bag(
            values[flat], table.weight, offsets, mode="mean", sparse=table.sparse
        )

    def _shares(self, items: Tensor) -> Tensor:
        """(batch, 1 + kinds) softmax over the vectors that items have; zeros if they have none."""
        owned = self.owned[items]
        logits = self.mixing(items).masked_fill(~owned, -torch.inf)
        return torch.softmax(logits, 1).masked_fill(~owned, 0.0)

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """ "total": skip-gram with negative sampling of H_v and output vectors."""
        return {"total": skip_gram_loss(self(batch["from"]), self.output(batch["to"]))}

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam, or SparseAdam for sparse gradients."""
        kind = torch.optim.SparseAdam if self.settings.sparse else torch.optim.Adam
        return [kind(list(self.parameters()), self.settings.learning_rate)]

    @torch.no_grad()
    def shares(self) -> np.ndarray:
        """(items, 1 + kinds): how much each item's own vector and each kind counts; sums to 1."""
        return self._shares(torch.arange(len(self.owned), device=self.owned.device)).cpu().numpy()

    @torch.no_grad()
    def vectors(self) -> np.ndarray:
        """(items, d) float32 H_v of all items, those in no sequence too."""
        everything = torch.arange(len(self.owned), device=self.owned.device)
        return torch.cat([self(part) for part in everything.split(BLOCK)]).cpu().numpy()
