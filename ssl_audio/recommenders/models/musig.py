"""MUSIG: track vectors from a graph of playlists, by three tasks at once.

Aggregators of depth K make a track's vector from its own features and from those of sampled
neighbours (MUSIG, section 3.4). There is no vector of a track's own, so a track that no playlist
has yet gets one too. Pairs of tracks supervise it with three tasks: whether they share playlists,
whether they are of one genre, and how alike they sound (section 3.5). With the playlist task alone
it is GraphSAGE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.sampling import NeighbourSampler, PairSampler
from ssl_audio.recommenders.models.model_folder import load_model, save_model
from ssl_audio.recommenders.models.task_weights import FixedWeights, LearntWeights
from ssl_audio.settings.recommend import MusigSettings
from ssl_audio.settings.tree import build, plain

TASKS = ("playlist", "genre", "sound")
UNKNOWN = -1  # genre of a track whose genre nobody says
KIND = "musig"


class Pairs(NamedTuple):
    """A batch.

    Attributes:
        left, right: (pairs,) int64 rows of the catalogue.
        co_occur: (pairs,) 1.0 where the graph has the edge, else 0.0.
        seed: () int64, of the neighbours that are sampled for it.
    """

    left: Tensor
    right: Tensor
    co_occur: Tensor
    seed: Tensor


@dataclass(frozen=True)
class Supervision:
    """What the tasks are told of the tracks.

    Attributes:
        genres: (tracks,) int64, `UNKNOWN` where it is; pairs with such a track are left out of the
            genre task.
        sound: (tracks, d) float32 in [0, 1], the acoustic or the audio features.
        heard: (tracks,) bool, those whose sound is known; pairs with another track are left out of
            the sound task. None: all.
    """

    genres: Tensor
    sound: Tensor
    heard: Tensor | None = None


class Aggregator(nn.Module):
    """One depth: `h_v = sigma(W [h_v, mean of h_u over the neighbours u])`, equations 1 to 3.

    Args:
        inputs, outputs: dimensions.
        last: of the last depth, which has no rectifier: rectified vectors would have no negative
            inner products, and unlike tracks could not be told apart.
    """

    def __init__(self, inputs: int, outputs: int, last: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * inputs, outputs)
        self.last = last

    def forward(self, own: Tensor, neighbours: Tensor) -> Tensor:
        """(n, inputs) twice, the second the means, to (n, outputs)."""
        of_own, of_neighbours = self.linear.weight.chunk(2, dim=1)  # nothing is copied
        out = torch.addmm(F.linear(own, of_own, self.linear.bias), neighbours, of_neighbours.T)
        return out if self.last else F.relu(out)


class Musig(nn.Module):
    """The aggregators and the tasks over them.

    The inner product s of two tracks' unit vectors serves all three tasks, each through a scale
    and an offset that it learns, so that what is supervised is what playlists are completed by.

    Args:
        inputs: node features.
        weights: of the tasks `TASKS` or some of them, fixed or learnt.
        settings: of the network.
    """

    def __init__(
        self, inputs: int, weights: FixedWeights | LearntWeights, settings: MusigSettings
    ) -> None:
        super().__init__()
        self.settings, self.inputs = settings, inputs
        depth, size = len(settings.fan_out), settings.dimensions
        self.aggregators = nn.ModuleList(
            Aggregator(inputs if k == 0 else size, size, last=k == depth - 1) for k in range(depth)
        )
        self.task_weights = weights
        self.scales = nn.ParameterDict({t: torch.tensor(5.0) for t in TASKS[:2]} | {
            "sound": torch.tensor(0.5)
        })  # fmt: skip
        self.offsets = nn.ParameterDict({t: torch.tensor(0.0) for t in TASKS})
        self._features = torch.empty(0)
        self._supervision: Supervision | None = None
        self._sampler: NeighbourSampler | None = None

    @property
    def tasks(self) -> list[str]:
        """Those that count."""
        weights = self.task_weights.current()
        return [t for t in TASKS if weights.get(t, 0) > 0]

    def learn_from(self, features: np.ndarray, graph: TrackGraph, told: Supervision) -> None:
        """Set what is trained on; none of it is part of the model's state.

        Args:
            features: (tracks, inputs) float32 in [0, 1].
            graph: over the same tracks.
            told: of the same tracks.
        """
        self._features = torch.from_numpy(np.ascontiguousarray(features, np.float32))
        self._supervision = told
        self._sampler = NeighbourSampler(
            torch.from_numpy(graph.offsets), torch.from_numpy(graph.neighbours)
        )

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Musig:
        super()._apply(fn, recurse)
        if self._supervision is not None and self._sampler is not None:
            told = self._supervision
            self._features = fn(self._features)
            heard = None if told.heard is None else _moved(told.heard, fn)
            self._supervision = Supervision(_moved(told.genres, fn), fn(told.sound), heard)
            self._sampler = NeighbourSampler(
                _moved(self._sampler.offsets, fn), _moved(self._sampler.neighbours, fn)
            )
        return self

    # --- vectors -------------------------------------------------------------------------------

    def embed(self, nodes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Vectors by sampled neighbours, each track of a depth computed once.

        Args:
            nodes: (n,) int64, repeats allowed.
            generator: of the neighbours, on the nodes' device.

        Returns:
            (distinct, dimensions) unit vectors, and for each node its row among them, (n,).
        """
        assert self._sampler is not None
        alone = self._alone(generator)
        wanted = self._distinct(nodes)
        place = self._positions(wanted)[nodes]
        levels: list[tuple[Tensor, Tensor]] = []
        for size in self.settings.fan_out:
            if levels:
                wanted = self._distinct(torch.cat([wanted, levels[-1][1].flatten()]))
            sampled = self._sampler.sample(wanted, size, generator)
            if alone is not None:
                sampled.masked_fill_(alone[wanted][:, None], -1)
            levels.append((wanted, sampled))
        state, position = self._features, None
        for aggregator, (own, sampled) in zip(self.aggregators, reversed(levels), strict=True):
            if position is None:  # the features of all tracks are at hand: nothing to look up
                means = _means(state, sampled)
                state = aggregator(state.index_select(0, own), means)
            else:
                means = _means(state, position[sampled])
                state = aggregator(state.index_select(0, position[own]), means)
            position = self._positions(own)
        return F.normalize(state, dim=1), place

    def _alone(self, generator: torch.Generator) -> Tensor | None:
        """(tracks,) those that are shown without neighbours, at every depth."""
        if not self.training or not self.settings.isolated:
            return None
        count, device = len(self._features), self._features.device
        return torch.rand(count, generator=generator, device=device) < self.settings.isolated

    def _distinct(self, nodes: Tensor) -> Tensor:
        """The nodes that occur, in order; -1 is none."""
        seen = torch.zeros(len(self._features) + 1, dtype=torch.bool, device=nodes.device)
        seen[nodes] = True  # the last place is that of -1
        return seen[:-1].nonzero().squeeze(1)

    def _positions(self, nodes: Tensor) -> Tensor:
        """(tracks + 1,) the place of each track among the distinct nodes, and last that of -1,
        which is -1; those of others are undefined."""
        places = torch.empty(len(self._features) + 1, dtype=torch.int64, device=nodes.device)
        places[nodes] = torch.arange(len(nodes), device=nodes.device)
        places[-1] = -1
        return places

    @torch.no_grad()
    def vectors(self, features: np.ndarray, graph: TrackGraph) -> np.ndarray:
        """Vectors of all tracks of a graph by all their neighbours: the same every time.

        The tracks need not be those that were trained on; one without edges is made from its
        features alone.

        Args:
            features: (tracks, inputs) float32 in [0, 1].
            graph: over these tracks, trained on or not.

        Returns:
            (tracks, dimensions) float32, of length 1.
        """
        device = next(self.parameters()).device
        state = torch.from_numpy(np.ascontiguousarray(features, np.float32)).to(device)
        neighbours = torch.from_numpy(graph.neighbours).to(device, torch.int64)
        offsets = torch.from_numpy(graph.offsets).to(device)
        for aggregator in self.aggregators:
            means = F.embedding_bag(
                neighbours, state, offsets, mode="mean", include_last_offset=True
            )  # 0 of a track without neighbours
            state = aggregator(state, means)
        return F.normalize(state, dim=1).cpu().numpy()

    # --- tasks ---------------------------------------------------------------------------------

    def loss(self, batch: Pairs) -> dict[str, Tensor]:
        """The tasks' losses and their weighted total, equation 6."""
        assert self._supervision is not None
        generator = torch.Generator(batch.left.device).manual_seed(int(batch.seed))
        vectors, place = self.embed(torch.cat([batch.left, batch.right]), generator)
        left, right = vectors[place].chunk(2)
        similarity = (left * right).sum(1)
        losses = {
            "playlist": self.playlist_loss(similarity, batch.co_occur),
            "genre": self.genre_loss(similarity, *self._labels(batch)),
            "sound": self.sound_loss(similarity, *self._likeness(batch)),
        }
        counted = {t: losses[t] for t in self.tasks}
        return {"total": self.task_weights(counted), **losses, **self._weights_now()}

    def _weights_now(self) -> dict[str, Tensor]:
        if isinstance(self.task_weights, FixedWeights):
            return {}
        current = self.task_weights.current()
        return {f"weight_{task}": torch.tensor(value) for task, value in current.items()}

    def _labels(self, batch: Pairs) -> tuple[Tensor, Tensor]:
        assert self._supervision is not None
        genres = self._supervision.genres
        left, right = genres[batch.left], genres[batch.right]
        return (left == right).float(), (left != UNKNOWN) & (right != UNKNOWN)

    def _likeness(self, batch: Pairs) -> tuple[Tensor, Tensor]:
        """(pairs,) inner product of the sounds, over their dimensions: in [0, 1]; and whether both
        are known."""
        assert self._supervision is not None
        sound, heard = self._supervision.sound, self._supervision.heard
        likeness = (sound[batch.left] * sound[batch.right]).mean(1)
        if heard is None:
            return likeness, torch.ones_like(likeness)
        return likeness, (heard[batch.left] & heard[batch.right]).float()

    def _answer(self, task: str, similarity: Tensor) -> Tensor:
        return self.scales[task] * similarity + self.offsets[task]

    def playlist_loss(self, similarity: Tensor, co_occur: Tensor) -> Tensor:
        """Binary cross-entropy of whether a pair shares playlists."""
        return F.binary_cross_entropy_with_logits(self._answer("playlist", similarity), co_occur)

    def genre_loss(self, similarity: Tensor, same: Tensor, known: Tensor) -> Tensor:
        """Binary cross-entropy of whether a pair is of one genre, over pairs with both known."""
        each = F.binary_cross_entropy_with_logits(
            self._answer("genre", similarity), same, reduction="none"
        )
        return (each * known).sum() / known.sum().clamp(min=1)

    def sound_loss(self, similarity: Tensor, likeness: Tensor, known: Tensor) -> Tensor:
        """Root mean square error of how alike a pair sounds, over pairs with both known."""
        error = (self._answer("sound", similarity) - likeness) * known
        return (error.square().sum() / known.sum().clamp(min=1) + 1e-12).sqrt()  # a slope at 0, too

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW over all."""
        s = self.settings
        return [
            torch.optim.AdamW(
                self.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay, fused=True
            )
        ]

    # --- files ---------------------------------------------------------------------------------

    def save(self, folder: Path, about: Mapping[str, Any] | None = None) -> None:
        """Write weights and settings in one step, with whatever says how features are made."""
        weights = self.task_weights
        config = {
            "inputs": self.inputs,
            "settings": plain(self.settings),
            "tasks": self.tasks,
            "task_weights": weights.current(),
            "learnt": isinstance(weights, LearntWeights),
            "about": dict(about or {}),
        }
        save_model(folder, KIND, config, self.state_dict())


def load_musig(folder: str | Path) -> tuple[Musig, dict[str, Any]]:
    """A saved model, and what was said with it.

    Raises:
        CheckpointError: no such folder, damaged, or of another format.
    """

    def make(config: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[Musig, dict[str, Any]]:
        tasks, weights = config["tasks"], config["task_weights"]
        made = LearntWeights(tasks) if config["learnt"] else FixedWeights(weights)
        model = Musig(config["inputs"], made, build(MusigSettings, config["settings"]))
        model.load_state_dict(tensors)
        return model.eval(), config["about"]

    return load_model(Path(folder), KIND, make)


@dataclass(frozen=True)
class PairBatches:
    """The batch of a step.

    Attributes:
        sampler: of the pairs.
        seed: of the neighbours.
    """

    sampler: PairSampler
    seed: int = 0

    def __call__(self, step: int) -> Pairs:
        """Pairs, with a seed for their neighbours."""
        left, right, co_occur = self.sampler.pairs(step)
        drawn = int(np.random.default_rng((self.seed, step)).integers(2**62))
        return Pairs(
            torch.as_tensor(left, dtype=torch.int64),
            torch.as_tensor(right, dtype=torch.int64),
            torch.as_tensor(co_occur, dtype=torch.float32),
            torch.tensor(drawn),
        )


def genre_codes(genres: Sequence[str]) -> Tensor:
    """(tracks,) int64 codes of genres; "" is `UNKNOWN`."""
    names = {name: k for k, name in enumerate(sorted(set(genres) - {""}))}
    return torch.tensor([names.get(name, UNKNOWN) for name in genres])


def _moved(values: Tensor, fn: Callable[..., Any]) -> Tensor:
    """On the device that `fn` moves to, in its own type."""
    return values.to(fn(torch.empty(0)).device)


def _means(states: Tensor, sampled: Tensor) -> Tensor:
    """(n, d) means over the rows that `sampled` (n, s) names; a row of -1 names none: 0."""
    found: Tensor = _Means.apply(states, sampled)
    return found


class _Means(torch.autograd.Function):
    """The gradient of `embedding_bag` as another one: of all that a state was sampled for."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, sampled: Tensor) -> Tensor:
        full = sampled[:, 0] >= 0
        owners = full.nonzero().squeeze(1)
        rows = sampled.index_select(0, owners)
        ctx.save_for_backward(rows, owners)
        ctx.states = len(states)
        offsets = F.pad(full.cumsum(0) * sampled.shape[1], (1, 0))
        return F.embedding_bag(
            rows.flatten(), states, offsets, mode="mean", include_last_offset=True
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        rows, owners = ctx.saved_tensors
        size, flat = rows.shape[1], rows.flatten()
        order = flat.int().argsort(stable=True)  # half the width is sorted in half the time
        offsets = F.pad(flat.bincount(minlength=ctx.states).cumsum(0), (1, 0))
        return F.embedding_bag(
            owners.index_select(0, order // size), gradients[0] / size, offsets, mode="sum",
            include_last_offset=True,
        ), None  # fmt: skip
