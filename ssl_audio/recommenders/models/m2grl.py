"""M2GRL (Wang et al., "M2GRL: A Multi-task Multi-view Graph Representation Learning Framework for
Web-scale Recommender Systems", KDD 2020): a table of vectors a view, aligned with each other.

Intra-view tasks are skip-gram with negative sampling over each view's sequences (equations 1-3),
inter-view tasks tell which attributes an item has (equation 4, `alignment.py`), and the total is
weighted by learnt variances (equation 10, `task_weights.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.models.alignment import Alignment, LinkDraw
from ssl_audio.recommenders.models.model_folder import load_model, save_model
from ssl_audio.recommenders.models.skipgram import initial_vectors, noise_distribution
from ssl_audio.recommenders.models.task_weights import FixedWeights, LearntWeights
from ssl_audio.recommenders.models.views import ITEM
from ssl_audio.settings.recommend import M2GRLSettings
from ssl_audio.settings.tree import build, plain

KIND = "m2grl"
NOISE_POWER = 0.75  # of the counts, for negatives: word2vec's


def relation_task(attribute: str) -> str:
    """What the task of the links from items to a view is called."""
    return f"{ITEM}-{attribute}"


class WindowPairs:
    """All (centre, context) pairs of some sequences, drawn uniformly, and negatives for them.

    A pair is two positions of one sequence at most `window` apart (equation 1). They are counted,
    never listed: a draw is a number below their count, and a search tells its position.

    Args:
        sequences: of nodes.
        nodes: how many there are.
        window: in positions.

    Raises:
        SslAudioError: no sequence of two nodes or more, or a node that is not below `nodes`.
    """

    def __init__(self, sequences: Playlists, nodes: int, window: int) -> None:
        self.tracks = sequences.tracks
        low, high = self.tracks.min(initial=0), self.tracks.max(initial=0)
        if low < 0 or high >= nodes:
            raise SslAudioError(f"sequences name nodes {low} to {high} of {nodes}")
        within = np.arange(len(self.tracks)) - np.repeat(sequences.offsets[:-1], sequences.lengths)
        after = np.repeat(sequences.lengths, sequences.lengths) - 1 - within
        self.before = np.minimum(within, window)
        self.ends = np.cumsum(self.before + np.minimum(after, window))
        if len(self) == 0:
            raise SslAudioError("no sequence has two nodes: there are no pairs to learn from")
        self.counts = np.bincount(self.tracks, minlength=nodes)
        self.noise = np.cumsum(noise_distribution(self.counts, NOISE_POWER))

    def __len__(self) -> int:
        """How many pairs there are."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def draw(
        self, rng: np.random.Generator, count: int, negatives: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pairs, uniformly, with replacement, and negatives in proportion to counts^0.75.

        Returns:
            (count,) centres and (count, 1 + negatives) contexts, the true one first. A negative
            may be the true context by chance, as in word2vec.
        """
        at, offset = self.positions(rng.integers(len(self), size=count))
        drawn = rng.random((count, negatives)) * self.noise[-1]
        noise = np.searchsorted(self.noise, drawn, side="right")
        return self.tracks[at], np.column_stack([self.tracks[at + offset], noise])

    def positions(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of pairs by their numbers: (count,) positions of centres, (count,) offsets, never 0."""
        at = np.searchsorted(self.ends, numbers, side="right")
        nth = numbers - np.where(at > 0, self.ends[at - 1], 0)
        offset = nth - self.before[at]
        return at, np.where(offset < 0, offset, offset + 1)


def skip_gram_loss(centres: Tensor, contexts: Tensor) -> Tensor:
    """The negative of equation 3, a mean over pairs.

    Args:
        centres: (pairs, d) input vectors.
        contexts: (pairs, 1 + negatives, d) output vectors, the true context first.
    """
    scores = torch.bmm(contexts, centres[:, :, None]).squeeze(2)
    return -(F.logsigmoid(scores[:, 0]) + F.logsigmoid(-scores[:, 1:]).sum(1)).mean()


class M2GRLBatches:
    """The batch of a step, for all tasks at once.

    Args:
        views: node sequences of each view, consecutive duplicates removed.
        links: from items to the nodes of a view, (links,) items and (links,) nodes; by view.
        sizes: how many nodes each view has.
        settings: batch, window and negatives.
        seed: of the drawing.

    Raises:
        SslAudioError: a view without pairs, or a relation without links or of an unknown view.
    """

    def __init__(
        self,
        views: Mapping[str, Playlists],
        links: Mapping[str, tuple[np.ndarray, np.ndarray]],
        sizes: Mapping[str, int],
        settings: M2GRLSettings,
        seed: int = 0,
    ) -> None:
        _check_views(views, links, sizes)
        self.settings, self.seed = settings, seed
        self.pairs = {v: WindowPairs(views[v], sizes[v], settings.window) for v in sizes}
        counts = self.pairs[ITEM].counts
        self.links = {
            relation_task(a): LinkDraw(*pair, counts, sizes[a]) for a, pair in links.items()
        }

    def __call__(self, step: int) -> dict[str, Tensor]:
        """The batch of a step: a function of the seed and the step alone.

        Returns:
            For each task int64 `<task>/from` (batch,), centres or items, and `<task>/to`
            (batch, 1 + negatives), contexts or attributes, of which the first is the true one.
        """
        batch = {}
        tasks = self.pairs | self.links
        for number, (task, source) in enumerate(tasks.items()):
            rng = np.random.default_rng((self.seed, step, number))
            first, second = source.draw(rng, self.settings.batch_size, self.settings.negatives)
            batch[f"{task}/from"] = torch.from_numpy(first.astype(np.int64))
            batch[f"{task}/to"] = torch.from_numpy(second.astype(np.int64))
        return batch


def _check_views(
    views: Mapping[str, Playlists],
    links: Mapping[str, tuple[np.ndarray, np.ndarray]],
    sizes: Mapping[str, int],
) -> None:
    if ITEM not in sizes or set(views) != set(sizes):
        raise SslAudioError(
            f"views {sorted(views)} of sizes {sorted(sizes)}: give both of the same, '{ITEM}' too"
        )
    unknown = set(links) - (set(sizes) - {ITEM})
    if unknown:
        raise SslAudioError(f"links to {sorted(unknown)}: the other views are {sorted(sizes)}")


class M2GRL(nn.Module):
    """Vectors of the nodes of several views.

    Args:
        sizes: how many nodes each view has; "item" is one of them. Of "item" alone, and without
            relations, the model is plain skip-gram.
        relations: views that items are linked with.
        settings: dimensions, weights and learning.
        seed: of the first vectors.

    Raises:
        SslAudioError: weights that are unknown or not of these tasks.
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
        self.inputs, self.outputs = nn.ModuleDict(), nn.ModuleDict()
        for number, (view, size) in enumerate(self.sizes.items()):
            self.inputs[view] = _table(size, settings, seed + number)
            self.outputs[view] = _table(size, settings, None)
        generator = torch.Generator().manual_seed(seed)
        self.alignments = nn.ModuleDict({a: Alignment(d, generator) for a in self.relations})
        self.weights = _weights(settings.weights, self.tasks)

    @property
    def tasks(self) -> list[str]:
        """Names of the intra-view tasks, then of the inter-view tasks."""
        return [*self.sizes, *(relation_task(a) for a in self.relations)]

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses of a batch of `M2GRLBatches`.

        Returns:
            "total" (equation 10, or 5 for weights that are not learnt), each task's own by its
            name, and with learnt weights `variance_<task>`, the sigma^2 of each.
        """
        losses = {v: self._intra(v, batch) for v in self.sizes}
        losses |= {relation_task(a): self._inter(a, batch) for a in self.relations}
        total = self.weights(losses)
        return {"total": total, **{t: x.detach() for t, x in losses.items()}, **self._variances()}

    def _intra(self, view: str, batch: Mapping[str, Tensor]) -> Tensor:
        centres = self.inputs[view](batch[f"{view}/from"])
        return skip_gram_loss(centres, self.outputs[view](batch[f"{view}/to"]))

    def _inter(self, attribute: str, batch: Mapping[str, Tensor]) -> Tensor:
        task = relation_task(attribute)
        items = self.inputs[ITEM](batch[f"{task}/from"])
        nodes = self.inputs[attribute](batch[f"{task}/to"])
        return self._alignment(attribute).loss(items, nodes)

    def _alignment(self, attribute: str) -> Alignment:
        found = self.alignments[attribute]
        assert isinstance(found, Alignment)
        return found

    def _variances(self) -> dict[str, Tensor]:
        if isinstance(self.weights, FixedWeights):
            return {}
        variances = self.weights.log_variance.detach().exp()
        return {f"variance_{t}": v for t, v in zip(self.tasks, variances, strict=True)}

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam; with sparse gradients, SparseAdam for the tables and Adam for the rest."""
        rate = self.settings.learning_rate
        if not self.settings.sparse:
            return [torch.optim.Adam(self.parameters(), rate)]
        tables = [*self.inputs.parameters(), *self.outputs.parameters()]
        rest = [*self.alignments.parameters(), *self.weights.parameters()]
        made: list[torch.optim.Optimizer] = [torch.optim.SparseAdam(tables, rate)]
        return [*made, torch.optim.Adam(rest, rate)] if rest else made

    @torch.no_grad()
    def vectors(self, view: str = ITEM) -> np.ndarray:
        """(nodes, d) float32 input vectors of a view, for inner product search (section 5.1.2)."""
        return _rows(self.inputs[view]).cpu().numpy().copy()

    @torch.no_grad()
    def relational(self, attribute: str, view: str = ITEM) -> np.ndarray:
        """sigma(W e) of the nodes of a view, in the space that items share with another.

        Args:
            attribute: the view that items are linked with.
            view: "item", or the attribute's own.

        Returns:
            (nodes, d) float32, each 0 to 1.
        """
        return self._alignment(attribute).relational(_rows(self.inputs[view])).cpu().numpy()

    def save(self, folder: str | Path) -> None:
        """Write the model's folder, all or nothing.

        Raises:
            SslAudioError: it cannot be written.
        """
        config = {"sizes": self.sizes, "relations": self.relations,
                  "settings": plain(self.settings)}  # fmt: skip
        save_model(Path(folder), KIND, config, self.state_dict())


def _table(size: int, settings: M2GRLSettings, seed: int | None) -> nn.Embedding:
    """A table that starts at random, or at 0 for no seed: word2vec's input and output."""
    d, sparse = settings.dimensions, settings.sparse
    start = torch.zeros(size, d) if seed is None else initial_vectors(size, d, seed)
    return nn.Embedding.from_pretrained(start, freeze=False, sparse=sparse)


def _rows(table: nn.Module) -> Tensor:
    """(nodes, d)."""
    assert isinstance(table, nn.Embedding)
    return table.weight.detach()


def _weights(
    weights: str | tuple[float, ...], tasks: Sequence[str]
) -> FixedWeights | LearntWeights:
    if weights == "learnt":
        return LearntWeights(tasks)
    if weights == "uniform":
        return FixedWeights(dict.fromkeys(tasks, 1.0))
    if isinstance(weights, str) or len(weights) != len(tasks):
        raise SslAudioError(
            f"m2grl.weights={weights}: learnt, uniform, or a number for each of the tasks "
            f"{', '.join(tasks)}"
        )
    return FixedWeights(dict(zip(tasks, weights, strict=True)))


def load_m2grl(folder: str | Path) -> M2GRL:
    """A saved model, in evaluation mode.

    Raises:
        CheckpointError: no folder, a damaged one, or one of another format.
    """

    def make(config: dict[str, Any], tensors: dict[str, Tensor]) -> M2GRL:
        settings = build(M2GRLSettings, config["settings"])
        model = M2GRL(config["sizes"], config["relations"], settings)
        model.load_state_dict(tensors)
        return model.eval()

    return load_model(Path(folder), KIND, make)
