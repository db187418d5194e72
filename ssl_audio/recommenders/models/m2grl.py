"""M2GRL: a table of vectors for each view of the items, aligned with each other.

Wang et al., "M2GRL: A Multi-task Multi-view Graph Representation Learning Framework for Web-scale
Recommender Systems", KDD 2020. Intra-view tasks are skip-gram over the sequences of each view
(equations 1 to 3, `skipgram.py`), inter-view tasks predict which attributes an item has (equation
4, `Alignment`), and the losses are weighed by learnt variances (equation 10, `task_weights.py`).
The batches are in `m2grl_batches.py`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.recommenders.models.m2grl_batches import ITEM, relation_task
from ssl_audio.recommenders.models.model_folder import load_model, save_model
from ssl_audio.recommenders.models.skipgram import (
    has_sparse_gradients,
    initial_vectors,
    negative_sampling_loss,
    skip_gram_loss,
)
from ssl_audio.recommenders.models.task_weights import LearntWeights, task_weights
from ssl_audio.settings.recommend import M2GRLSettings
from ssl_audio.settings.tree import build, plain

KIND = "m2grl"


class Alignment(nn.Module):
    """An inter-view task: which attributes an item has, in a relational space of both views.

    Equation 4 scores an item i and an attribute c, with one matrix W for both, by

        s(i, c) = sigmoid(W e_i) . sigmoid(W e_c),    0 < s < d,

    and maximises the sum of s over links minus that over pairs without a link. Since section 3.5
    counts the inter-view tasks among the classification tasks, the loss here is logistic, in the
    form of equation 3, with a learnt offset b that starts at d / 4, the s of zero vectors:

        L = -log sigmoid(s(i, c) - b) - sum over negatives c' of log sigmoid(b - s(i, c')).

    (The negative of equation 4 has no lower bound of 0, which learnt task weights need.)

    Args:
        dimensions: d, of both views' vectors and of the space.
        generator: source of randomness of W, which is uniform as in `nn.init.xavier_uniform_`.
    """

    def __init__(self, dimensions: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.empty(dimensions, dimensions))
        nn.init.xavier_uniform_(self.matrix, generator=generator)
        self.offset = nn.Parameter(torch.tensor(dimensions / 4))

    def relational(self, vectors: Tensor) -> Tensor:
        """sigmoid(W e): (..., d) to (..., d) in 0 to 1."""
        return torch.sigmoid(F.linear(vectors, self.matrix))

    def logits(self, items: Tensor, attributes: Tensor) -> Tensor:
        """s - b: (links, d) and (links, n, d), n attributes for each item, to (links, n)."""
        relational = self.relational(items)[:, :, None]
        return torch.bmm(self.relational(attributes), relational).squeeze(2) - self.offset

    def loss(self, items: Tensor, attributes: Tensor) -> Tensor:
        """The mean over links; (links, d) and (links, 1 + negatives, d), the linked one first."""
        return negative_sampling_loss(self.logits(items, attributes))


class M2GRL(nn.Module):
    """Vectors of the nodes of several views.

    Args:
        sizes: nodes of each view; "item" is one of them. With "item" alone and no relations, the
            model is plain skip-gram.
        relations: views that items are linked with.

    Raises:
        SslAudioError: another number of weights than of tasks.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        relations: Sequence[str],
        settings: M2GRLSettings,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.sizes, self.relations, self.settings = dict(sizes), tuple(relations), settings
        d = settings.dimensions
        sparse = self.sparse = has_sparse_gradients(settings.sparse, max(sizes.values()))
        self.inputs, self.outputs = nn.ModuleDict(), nn.ModuleDict()
        for number, (view, size) in enumerate(self.sizes.items()):
            self.inputs[view] = _table(initial_vectors(size, d, seed + number), sparse)
            self.outputs[view] = _table(torch.zeros(size, d), sparse)
        generator = torch.Generator().manual_seed(seed)
        self.alignments = nn.ModuleDict({a: Alignment(d, generator) for a in self.relations})
        self.weights = task_weights(settings.weights, self.tasks)

    @property
    def tasks(self) -> list[str]:
        """Names of the intra-view tasks, then of the inter-view tasks."""
        return [*self.sizes, *(relation_task(a) for a in self.relations)]

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of a batch of `M2GRLBatches`.

        Returns:
            "total" (equation 10, or 5 for fixed weights), the loss of each task by its name, and
            with learnt weights `variance_<task>`, the sigma^2 of each.
        """
        losses = {view: self._intra_view(view, batch) for view in self.sizes}
        losses |= {relation_task(a): self._inter_view(a, batch) for a in self.relations}
        total = self.weights(losses)
        terms = {"total": total, **{task: loss.detach() for task, loss in losses.items()}}
        if isinstance(self.weights, LearntWeights):
            variances = self.weights.log_variance.detach().exp()
            terms |= {f"variance_{t}": v for t, v in zip(self.tasks, variances, strict=True)}
        return terms

    def _intra_view(self, view: str, batch: Mapping[str, Tensor]) -> Tensor:
        centres = _vectors(self.inputs[view], batch[f"{view}/from"])
        return skip_gram_loss(centres, _vectors(self.outputs[view], batch[f"{view}/to"]))

    def _inter_view(self, attribute: str, batch: Mapping[str, Tensor]) -> Tensor:
        task = relation_task(attribute)
        items = _vectors(self.inputs[ITEM], batch[f"{task}/from"])
        attributes = _vectors(self.inputs[attribute], batch[f"{task}/to"])
        return self._alignment(attribute).loss(items, attributes)

    def _alignment(self, attribute: str) -> Alignment:
        found = self.alignments[attribute]
        assert isinstance(found, Alignment)
        return found

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam; with sparse gradients, SparseAdam for the tables and Adam for the rest."""
        rate = self.settings.learning_rate
        if not self.sparse:
            return [torch.optim.Adam(self.parameters(), rate, fused=True)]
        tables = [*self.inputs.parameters(), *self.outputs.parameters()]
        rest = [*self.alignments.parameters(), *self.weights.parameters()]
        made: list[torch.optim.Optimizer] = [torch.optim.SparseAdam(tables, rate)]
        return [*made, torch.optim.Adam(rest, rate)] if rest else made

    @torch.no_grad()
    def vectors(self) -> np.ndarray:
        """(2, items, d) float32 input and output vectors of the items, for inner product search
        (5.1.2): of a user's items and of candidates, as in equation 3."""
        tables = _embedding(self.inputs[ITEM]), _embedding(self.outputs[ITEM])
        return torch.stack([table.weight for table in tables]).cpu().numpy()

    @torch.no_grad()
    def relational(self, attribute: str) -> np.ndarray:
        """(items, d) float32 in 0 to 1: the items in the relational space of an attribute."""
        items = _embedding(self.inputs[ITEM]).weight
        return self._alignment(attribute).relational(items).cpu().numpy()

    def save(self, folder: str | Path) -> None:
        """Write the model's folder, all or nothing."""
        sizes, relations = self.sizes, list(self.relations)
        config = {"sizes": sizes, "relations": relations, "settings": plain(self.settings)}
        save_model(Path(folder), KIND, self, config)


def _table(vectors: Tensor, sparse: bool) -> nn.Embedding:
    return nn.Embedding.from_pretrained(vectors, freeze=False, sparse=sparse)


def _embedding(table: nn.Module) -> nn.Embedding:
    assert isinstance(table, nn.Embedding)
    return table


def _vectors(table: nn.Module, nodes: Tensor) -> Tensor:
    """(..., d) vectors of (...) nodes."""
    embedding = _embedding(table)
    if embedding.sparse:
        return embedding(nodes)  # type: ignore[no-any-return]
    # the same as by the module, with a faster gradient on CPUs
    return embedding.weight.index_select(0, nodes.flatten()).view(*nodes.shape, -1)


def load_m2grl(folder: str | Path) -> M2GRL:
    """A saved model, in evaluation mode.

    Raises:
        CheckpointError: no folder, a damaged one, or another model.
    """

    def make(config: dict[str, Any], data: Any) -> M2GRL:
        settings = build(M2GRLSettings, config["settings"])
        return M2GRL(config["sizes"], config["relations"], settings)

    return load_model(Path(folder), KIND, make)
