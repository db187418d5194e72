"""MUSIG: track vectors from a graph of co-occurring tracks.

Saravanou et al., "Multi-task Learning of Graph-based Inductive Representations of Music Content",
ISMIR 2021, section 3.4. Aggregators of depths 1 to K make the vector of a track v from its features
x_v and its sampled neighbours N(v) (equations 1 to 3):

    h_v^0 = z_v,    h_v^k = relu(W^k [h_v^(k-1), mean of h_u^(k-1) over u in N(v)] + b^k),

without the rectifier at depth K, and divided by its norm. z_v is x_v standardised in each column
over the training tracks, of which the paper does not speak. No parameter belongs to a track, so
that tracks outside the training playlists get vectors, too. The last columns of x_v may tell which
track it is (`graph_models.identity_features`); such tracks lack them and have 0 there, as does a
random part of the tracks in training. The training tasks are in `musig_training.py`; with the
playlist task alone the model is GraphSAGE.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.node_features import Scaler
from ssl_audio.recommenders.data.sampling import NeighbourSampler
from ssl_audio.recommenders.models.model_folder import load_model, save_model
from ssl_audio.recommenders.models.neighbour_means import neighbour_means
from ssl_audio.recommenders.models.standardiser import Standardiser
from ssl_audio.recommenders.models.task_weights import task_weights
from ssl_audio.settings.recommend import MusigSettings
from ssl_audio.settings.tree import build, plain

TASKS = ("playlist", "genre", "similarity")
KIND = "musig"


class Aggregator(nn.Module):
    """One depth: equations 1 to 3.

    Args:
        inputs, outputs: dimensions.
        last: without the rectifier, which would make all inner products of vectors 0 or more.
    """

    def __init__(self, inputs: int, outputs: int, last: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * inputs, outputs)
        self.last = last

    def forward(self, own: Tensor, neighbours: Tensor) -> Tensor:
        """(n, inputs) states and (n, inputs) means of their neighbours to (n, outputs)."""
        of_own, of_neighbours = self.linear.weight.chunk(2, dim=1)  # instead of concatenating
        out = torch.addmm(F.linear(own, of_own, self.linear.bias), neighbours, of_neighbours.T)
        return out if self.last else F.relu(out)


class Musig(nn.Module):
    """The aggregators, and what the tasks learn beside them.

    Attributes:
        about: what its node features are, as plain values.
        scaler: of the features that new tracks have, too; None if there are none.

    Args:
        inputs: dimensions of the node features, identity included.
        identity: the last so many of these tell which track it is.
    """

    def __init__(self, inputs: int, settings: MusigSettings, identity: int = 0) -> None:
        super().__init__()
        self.settings, self.inputs, self.identity = settings, inputs, identity
        self.about: dict[str, Any] = {}
        self.scaler: Scaler | None = None
        self.standardise = Standardiser(inputs)
        depth, size = len(settings.fan_out), settings.dimensions
        self.aggregators = nn.ModuleList(
            Aggregator(inputs if k == 0 else size, size, last=k == depth - 1) for k in range(depth)
        )
        self.task_weights = task_weights(settings.weights, TASKS)
        starts = dict(zip(TASKS, (5.0, 5.0, 0.5), strict=True))
        self.scales = nn.ParameterDict({t: torch.tensor(start) for t, start in starts.items()})
        self.offsets = nn.ParameterDict({t: torch.tensor(0.0) for t in TASKS})

    def standardised(self, features: np.ndarray) -> Tensor:
        """(tracks, inputs) z of features with identity, or without it: then 0, the mean."""
        x = torch.from_numpy(np.ascontiguousarray(features, np.float32))
        z = self.standardise(x.to(self.standardise.mean.device))
        return F.pad(z, (0, self.inputs - features.shape[1]))

    @property
    def tasks(self) -> list[str]:
        """The tasks with a weight above 0."""
        weights = self.task_weights.current()
        return [t for t in TASKS if weights[t] > 0]

    def embed(
        self, nodes: Tensor, features: Tensor, sampler: NeighbourSampler, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Vectors from sampled neighbours; a track is computed once at each depth.

        In training mode, the share `settings.isolated` of the tracks is computed without
        neighbours and identity, so that the model learns tracks without any; of the others, the
        share `settings.identity_dropout` is without identity.

        Args:
            nodes: (n,) int64 tracks, repeats allowed.
            features: (tracks, inputs), `standardised`, of all tracks.
            sampler: of their graph.
            generator: source of randomness, on the same device.

        Returns:
            (distinct, dimensions) unit vectors, and for each node its row among them, (n,).
        """
        tracks = len(features)
        isolated = self._isolated(features, generator)
        needed = _distinct(nodes, tracks)
        place = _places(needed, tracks)[nodes]
        levels: list[tuple[Tensor, Tensor]] = []
        for size in self.settings.fan_out:
            if levels:
                needed = _distinct(torch.cat([needed, levels[-1][1].flatten()]), tracks)
            sampled = sampler.sample(needed, size, generator)
            if isolated is not None:
                sampled.masked_fill_(isolated[needed][:, None], -1)
            levels.append((needed, sampled))
        state, places = features, None
        if self.training and self.identity:
            needed = _distinct(torch.cat([needed, levels[-1][1].flatten()]), tracks)
            state = self._without_some_identity(features, needed, isolated, generator)
            places = _places(needed, tracks)
        for aggregator, (own, sampled) in zip(self.aggregators, reversed(levels), strict=True):
            if places is None:  # the first depth reads the features of all tracks by their rows
                state = aggregator(state.index_select(0, own), neighbour_means(state, sampled))
            else:
                means = neighbour_means(state, places[sampled])
                state = aggregator(state.index_select(0, places[own]), means)
            places = _places(own, tracks)
        return F.normalize(state, dim=1), place

    def _isolated(self, features: Tensor, generator: torch.Generator) -> Tensor | None:
        """(tracks,) True for tracks that are computed without neighbours, at every depth."""
        if not self.training or not self.settings.isolated:
            return None
        drawn = torch.rand(len(features), generator=generator, device=features.device)
        return drawn < self.settings.isolated

    def _without_some_identity(
        self, features: Tensor, nodes: Tensor, isolated: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """(nodes, inputs) features of distinct nodes, the identity of some of them 0."""
        drawn = torch.rand(len(nodes), generator=generator, device=features.device)
        dropped = drawn < self.settings.identity_dropout
        if isolated is not None:
            dropped |= isolated[nodes]
        found = features.index_select(0, nodes)
        found[:, -self.identity :] *= ~dropped[:, None]
        return found

    @torch.no_grad()
    def vectors(self, features: np.ndarray, graph: TrackGraph) -> np.ndarray:
        """Vectors of all tracks of a graph from all their neighbours, without sampling.

        Args:
            features: (tracks, inputs) float32 as in training, or without identity.
            graph: of these tracks, which need not be those of training; the vector of a track
                without edges follows from its features alone.

        Returns:
            (tracks, dimensions) float32 of norm 1.
        """
        device = next(self.parameters()).device
        state = self.standardised(features)
        neighbours = torch.from_numpy(graph.neighbours).to(device, torch.int64)
        offsets = torch.from_numpy(graph.offsets).to(device)
        for aggregator in self.aggregators:
            means = F.embedding_bag(  # 0 for a track without neighbours
                neighbours, state, offsets, mode="mean", include_last_offset=True
            )
            state = aggregator(state, means)
        return F.normalize(state, dim=1).cpu().numpy()

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW of all parameters."""
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        return [torch.optim.AdamW(self.parameters(), lr=rate, weight_decay=decay, fused=True)]

    def save(self, folder: Path) -> None:
        """Write the model's folder, with `about` and `scaler`."""
        config = {
            "inputs": self.inputs, "identity": self.identity, "settings": plain(self.settings),
            "about": self.about,
        }  # fmt: skip
        save_model(folder, KIND, self, config, self.scaler.to_arrays() if self.scaler else None)


def _distinct(nodes: Tensor, tracks: int) -> Tensor:
    """The distinct nodes, ascending, without -1."""
    seen = torch.zeros(tracks + 1, dtype=torch.bool, device=nodes.device)
    seen[nodes] = True  # the last place is that of -1
    return seen[:-1].nonzero().squeeze(1)


def _places(nodes: Tensor, tracks: int) -> Tensor:
    """(tracks + 1,) the place of each track among distinct nodes; -1 at -1; others undefined."""
    places = torch.empty(tracks + 1, dtype=torch.int64, device=nodes.device)
    places[nodes] = torch.arange(len(nodes), device=nodes.device)
    places[-1] = -1
    return places


def load_musig(folder: str | Path) -> Musig:
    """A saved model, in evaluation mode.

    Raises:
        CheckpointError: no such folder, a damaged one, or another model.
    """

    def make(config: dict[str, Any], data: dict[str, np.ndarray]) -> Musig:
        settings = build(MusigSettings, config["settings"])
        model = Musig(config["inputs"], settings, config["identity"])
        model.about, model.scaler = config["about"], Scaler.from_arrays(data) if data else None
        return model

    return load_model(Path(folder), KIND, make)
