"""The playlist models' ratios, measured side by side: `python tools/benchmark_playlists.py [WHAT]`.

WHAT is graph, sampling, epoch, evaluation or transformer; all by default. The size is that of
MUSIG's paper: 95,000 playlists of 40 to 120 of 15,900 tracks, and about 5.2 million edges between
tracks that share ten playlists; the playlists are drawn here, some tracks more often than others,
so that as many edges are left.
Candidates take turns, so that a machine that slows down slows down all of them.

graph: seconds from playlists to the graph, and by a Python double loop over the pairs of each
playlist that counts in a dictionary. The loop counts a share of the playlists (`--share`), and its
time is scaled by pairs to all of them, which the output says. That favours the loop, whose
dictionary would not stay in any cache. Both must find the same edges on the share.
sampling: one epoch of what MUSIG's aggregators read: batches of 512 pairs, 25 neighbours of each
track and 10 of each neighbour, and the features of all of them, averaged where the aggregator does.
What it is compared with is PyTorch Geometric's NeighborLoader where pyg-lib or torch-sparse can be
imported, and else a sampler that goes from track to track in Python with `random.choices`; the
output says which. Some batches are run (`--batches`) and scaled to the epoch, for all alike.
epoch: one epoch of training MUSIG: pairs, neighbours, all three tasks, gradients and AdamW.
`Musig.loss` is compared with the same weights and losses over the subgraphs of NeighborLoader, by
PyTorch Geometric's own layers, where it works, and with `Musig.loss` over a sampler that goes from
track to track. Pairs are drawn alike for all. No track is shown alone, which NeighborLoader cannot.
Some steps are run (`--steps`) and scaled; first the losses of all must agree.
evaluation: seconds from 10,000 playlists and the vectors of ten systems to all tables of a
comparison: the task, ranking, figures, intervals, and three systems tested against all others.
transformer: what a training step allocates at most beside the tables, which should be as much for
two million tracks as for 200,000, and how long it takes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from benchmark_probe import aim, check, race, row
from torch import Tensor, nn

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.graph import TrackGraph, build_graph
from ssl_audio.recommenders.data.sampling import NeighbourSampler, PairSampler
from ssl_audio.recommenders.data.vocabulary import SPECIALS, Vocabulary
from ssl_audio.recommenders.evaluation.completion import completion_task, evaluate, scores_by_cosine
from ssl_audio.recommenders.evaluation.significance import all_paired, holm, interval
from ssl_audio.recommenders.models.musig import (
    TASKS,
    Musig,
    PairBatches,
    Pairs,
    Supervision,
)
from ssl_audio.recommenders.models.task_weights import FixedWeights
from ssl_audio.recommenders.models.transformer import PlaylistTransformer, SideInformation
from ssl_audio.recommenders.models.transformer_batches import TransformerBatches
from ssl_audio.settings.recommend import MusigSettings, TransformerSettings

PLAYLISTS, TRACKS, LENGTHS, MIN_WEIGHT = 95_000, 15_900, (40, 120), 10
POPULARITY = 1_700  # chance of the k-th track in proportion to 1 / (k + this): leaves 5.2 M edges
FAN_OUT, PAIRS, FEATURES = (25, 10), 512, 102  # genre, popularity, audio and acoustic features
GRAPH_AIM, GRAPH_SECONDS, SAMPLING_AIM = 100.0, 60.0, 5.0  # on two CPU cores
MEANS_AGREE = 0.005  # mean features of a batch, by two random samples of the same neighbours
GENRES, EPOCH_AIM = 50, 5.0
LOSSES_AGREE = 0.02  # of the mean loss; NeighborLoader reads one sample of a track at both depths
VECTORS_AGREE = 1e-4  # by all neighbours, of an induced graph of this many tracks
INDUCED = 2_000
COMPLETED, SYSTEMS, MAIN_SYSTEMS, DIMENSIONS = 10_000, 10, 3, 128
TESTED, EVALUATION_SECONDS = ("hr", "ndcg@10"), 60.0
VOCABULARIES, AUDIO, MEMORY_AGREES = (200_000, 2_000_000), 64, 0.02
MIB = 2**20

Read = tuple[Tensor, Tensor, Tensor, Tensor]  # own and mean features, of tracks and of neighbours


def made_playlists(seed: int = 0) -> Playlists:
    """Playlists at the paper's size; a track may be in one twice, which the graph counts once."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(LENGTHS[0], LENGTHS[1] + 1, PLAYLISTS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    chances = 1 / (np.arange(TRACKS) + POPULARITY)
    drawn = np.searchsorted(np.cumsum(chances / chances.sum()), rng.random(offsets[-1]))
    rows = rng.permutation(TRACKS).astype(np.int32)  # a row says nothing of popularity
    tracks = rows[np.minimum(drawn, TRACKS - 1)]
    return Playlists(tracks, offsets, [str(k) for k in range(PLAYLISTS)])


# --- the graph -----------------------------------------------------------------------------------


def plain_graph(playlists: Playlists) -> dict[tuple[int, int], int]:
    """Playlists in common of each pair of tracks, the lower one first, as it is usually written."""
    counts: dict[tuple[int, int], int] = defaultdict(int)
    for playlist in range(len(playlists)):
        tracks = sorted(set(playlists[playlist].tolist()))
        for k, track in enumerate(tracks):
            for other in tracks[k + 1 :]:
                counts[track, other] += 1
    return counts


def same_edges(playlists: Playlists) -> bool:
    """Whether both find the same pairs that share two playlists."""
    left, right, weights = build_graph(playlists, TRACKS, 2).upper()
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    found = dict(zip(pairs, weights.tolist(), strict=True))
    return found == {pair: count for pair, count in plain_graph(playlists).items() if count >= 2}


def pairs_in(playlists: Playlists) -> int:
    """Pairs of positions."""
    lengths = playlists.lengths
    return int((lengths * (lengths - 1) // 2).sum())


def compare_graphs(options: argparse.Namespace) -> dict[str, object]:
    """Seconds of both, the loop's scaled."""
    playlists = made_playlists()
    share = playlists.take(np.arange(round(PLAYLISTS * options.share)))
    started = time.perf_counter()
    graph = build_graph(playlists, TRACKS, MIN_WEIGHT)
    first = time.perf_counter() - started
    scale = pairs_in(playlists) / pairs_in(share)
    runs: dict[str, Callable[[], None]] = {
        "plain": lambda: plain_graph(share) and None,
        "ssl_audio": lambda: build_graph(playlists, TRACKS, MIN_WEIGHT) and None,
    }
    seconds = race(runs, options.repeats)
    plain = seconds["plain"] * scale
    print(f"\ngraph: {PLAYLISTS:,} playlists, {TRACKS:,} tracks, {pairs_in(playlists) / 1e6:.0f} M "
          f"pairs, {graph.edges / 1e6:.2f} M edges of weight {MIN_WEIGHT} or more, median of "
          f"{options.repeats}")  # fmt: skip
    print(f"  the plain loop counted {len(share):,} playlists in {seconds['plain']:.1f} s; "
          f"its time is scaled by {scale:.0f}")  # fmt: skip
    row("double loop, dictionary", plain, plain)
    row("ssl_audio, with compilation, once a process", first, plain)
    row("ssl_audio", seconds["ssl_audio"], plain)
    agree = check(same_edges(share), "edges of the share, of weight 2 or more")
    ratio = plain / seconds["ssl_audio"]
    met = aim(ratio, GRAPH_AIM, "graph")
    in_time = first < GRAPH_SECONDS
    print(f"  aim under {GRAPH_SECONDS:g} s: {'met' if in_time else 'MISSED'} ({first:.1f} s)")
    return {"seconds": {**seconds, "plain": plain, "first": first}, "edges": graph.edges,
            "scaled_by": scale, "ratio": ratio, "aim": GRAPH_AIM, "met": met and in_time,
            "agree": agree}  # fmt: skip


# --- sampling ------------------------------------------------------------------------------------


def lists_of(graph: TrackGraph) -> list[list[int]]:
    """The neighbours of each track."""
    return [graph[track].tolist() for track in range(len(graph))]


class Plain:
    """A sampler that goes from track to track."""

    def __init__(self, graph: TrackGraph, features: Tensor, seed: int = 0) -> None:
        self.lists = lists_of(graph)
        self.features = features
        self.random = random.Random(seed)

    def of(self, tracks: list[int], size: int) -> list[list[int]]:
        """`size` neighbours of each track that has any; of another, the track itself."""
        return [self.random.choices(self.lists[t] or [t], k=size) for t in tracks]

    def read(self, nodes: Tensor) -> Read:
        """What the aggregators read for a batch's tracks."""
        first = self.of(nodes.tolist(), FAN_OUT[0])
        flat = [track for tracks in first for track in tracks]
        second = torch.tensor(self.of(flat, FAN_OUT[1]))
        near = self.features[torch.tensor(first)]
        return self.features[nodes], near.mean(1), near.flatten(0, 1), self.features[second].mean(1)


class Gathered:
    """This project's sampler."""

    def __init__(self, graph: TrackGraph, features: Tensor, seed: int = 0) -> None:
        offsets, neighbours = torch.from_numpy(graph.offsets), torch.from_numpy(graph.neighbours)
        self.sampler = NeighbourSampler(offsets, neighbours)
        self.features = features
        self.generator = torch.Generator().manual_seed(seed)

    def sample(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 25) neighbours and (25 n, 10) neighbours of those."""
        first = self.sampler.sample(nodes, FAN_OUT[0], self.generator)
        return first, self.sampler.sample(first.flatten(), FAN_OUT[1], self.generator)

    def read(self, nodes: Tensor) -> Read:
        """What the aggregators read for a batch's tracks, each of which has a neighbour."""
        first, second = self.sample(nodes)
        near = self.features.index_select(0, first.flatten())
        means = F.embedding_bag(second, self.features, mode="mean")
        return self.features[nodes], near.view(*first.shape, -1).mean(1), near, means


def geometric(graph: TrackGraph, features: Tensor) -> Any:
    """The graph as PyTorch Geometric has it."""
    from torch_geometric.data import Data

    targets = torch.from_numpy(np.repeat(np.arange(len(graph)), graph.degree))
    sources = torch.from_numpy(graph.neighbours.astype(np.int64))
    return Data(x=features, edge_index=torch.stack([sources, targets]))


class Loader:
    """PyTorch Geometric's NeighborLoader, which draws each track's neighbours once a batch."""

    def __init__(self, graph: TrackGraph, features: Tensor) -> None:
        self.data = geometric(graph, features)

    def run(self, batches: list[Tensor]) -> None:
        """Features and edges of all batches, the loader made anew as for an epoch."""
        from torch_geometric.loader import NeighborLoader

        nodes = torch.cat(batches)
        loader = NeighborLoader(
            self.data, list(FAN_OUT), input_nodes=nodes, replace=True, batch_size=len(batches[0])
        )
        for _ in loader:
            pass


def neighbour_loader_works() -> bool:
    """Whether what NeighborLoader needs is installed."""
    return any(importlib.util.find_spec(name) for name in ("pyg_lib", "torch_sparse"))


def compare_sampling(options: argparse.Namespace) -> dict[str, object]:
    """Seconds of an epoch's sampling and gathering."""
    graph = build_graph(made_playlists(), TRACKS, MIN_WEIGHT)
    features = torch.rand(TRACKS, FEATURES, generator=torch.Generator().manual_seed(0))
    pairs = PairSampler(graph, PAIRS // 2, 1, seed=0)
    linked = torch.from_numpy(graph.degree > 0)

    def nodes_of(step: int) -> Tensor:
        left, right, _ = pairs.pairs(step)
        return torch.where(linked[right], torch.stack([left, right]), left).flatten()

    batches = [nodes_of(step) for step in range(options.batches)]
    plain, gathered = Plain(graph, features), Gathered(graph, features)
    runs: dict[str, Callable[[], None]] = {}
    if usual := neighbour_loader_works():
        loader = Loader(graph, features)
        runs["NeighborLoader"] = lambda: loader.run(batches)
    else:
        runs["track by track, random.choices"] = lambda: [plain.read(b) for b in batches] and None
    runs["ssl_audio"] = lambda: [gathered.read(b) for b in batches] and None
    runs["ssl_audio, sampling alone"] = lambda: [gathered.sample(b) for b in batches] and None
    scale = pairs.epochs.steps / options.batches
    seconds = {name: scale * value for name, value in race(runs, options.repeats).items()}
    against = seconds[next(iter(runs))]
    print(f"\nsampling: an epoch of {pairs.epochs.steps:,} batches of {PAIRS} pairs, fan-out "
          f"{FAN_OUT}, {FEATURES} features, {graph.edges / 1e6:.2f} M edges, median of "
          f"{options.repeats}")  # fmt: skip
    print(f"  {options.batches} batches were run; times are scaled by {scale:.0f}")
    if not usual:
        print("  neither pyg-lib nor torch-sparse is installed: no NeighborLoader to compare with")
    for name, value in seconds.items():
        row(name, value, against)
    differ = max(float((a.mean() - b.mean()).abs()) for a, b in zip(
        plain.read(batches[0]), gathered.read(batches[0]), strict=True))  # fmt: skip
    agree = check(differ <= MEANS_AGREE, f"mean features of a batch differ by {differ:.4f} at most")
    ratio = against / seconds["ssl_audio"]
    met = aim(ratio, SAMPLING_AIM, "sampling")
    return {"seconds": seconds, "neighbour_loader": usual, "scaled_by": scale, "ratio": ratio,
            "aim": SAMPLING_AIM, "met": met, "agree": agree}  # fmt: skip


# --- training -------------------------------------------------------------------------------------


class TrackByTrack:
    """Takes the place of `NeighbourSampler`, and goes from track to track."""

    def __init__(self, graph: TrackGraph, seed: int = 0) -> None:
        self.lists = lists_of(graph)
        self.random = random.Random(seed)

    def sample(self, nodes: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """(n, size) neighbours of the nodes; it draws by its own generator."""
        drawn = [
            self.random.choices(self.lists[t], k=size) if self.lists[t] else [-1] * size
            for t in nodes.tolist()
        ]
        return torch.tensor(drawn)


class FromLoader(Musig):
    """MUSIG over a subgraph, `subgraph`, by PyTorch Geometric's layers."""

    subgraph: Any

    def __init__(self, model: Musig) -> None:
        from torch_geometric.nn import SAGEConv

        super().__init__(model.inputs, model.task_weights, model.settings)
        self._features, self._supervision = model._features, model._supervision
        linears = [aggregator.linear for aggregator in self.aggregators]
        self.layers = nn.ModuleList(SAGEConv(x.in_features // 2, x.out_features) for x in linears)
        del self.aggregators

    @torch.no_grad()
    def copy(self, model: Musig) -> None:
        """The weights of a model."""
        for layer, aggregator in zip(self.layers, model.aggregators, strict=True):
            own, neighbours = aggregator.linear.weight.chunk(2, dim=1)
            layer.lin_r.weight.copy_(own)
            layer.lin_l.weight.copy_(neighbours)
            layer.lin_l.bias.copy_(aggregator.linear.bias)
        self.scales.load_state_dict(model.scales.state_dict())
        self.offsets.load_state_dict(model.offsets.state_dict())

    def states(self, data: Any) -> Tensor:
        """(nodes, dimensions) of a graph."""
        state = data.x
        for depth, layer in enumerate(self.layers):
            state = layer(state, data.edge_index)
            state = state if depth == len(self.layers) - 1 else F.relu(state)
        return state

    def embed(self, nodes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As `Musig.embed`; the subgraph's first nodes are the distinct ones, ascending."""
        first = self.subgraph.batch_size
        place = torch.searchsorted(self.subgraph.n_id[:first], nodes)
        return F.normalize(self.states(self.subgraph)[:first], dim=1), place


class Fed:
    """A model and what it is fed by: `losses` of steps, and training on them.

    Args:
        model: one of its own.
        batches: the pairs of a step.
        data: the graph for a NeighborLoader; None: the model samples by itself.
        workers: processes that the loader has.
    """

    def __init__(
        self, model: Musig, batches: PairBatches, data: Any = None, workers: int = 0
    ) -> None:
        self.model, self.batches = model, batches
        (self.optimizer,) = model.optimizers()
        self.steps, self.waiting = range(0), deque[Pairs]()
        self.loader = None if data is None else self._loader(data, workers)

    def _loader(self, data: Any, workers: int) -> Any:
        from torch_geometric.loader import NeighborLoader

        return NeighborLoader(
            data, list(FAN_OUT), replace=True, batch_sampler=self, num_workers=workers,
            persistent_workers=workers > 0,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[int]]:
        """The distinct tracks of each step, which the loader samples from."""
        for step in self.steps:
            batch = self.batches(step)
            self.waiting.append(batch)
            yield torch.cat([batch.left, batch.right]).unique().tolist()

    def losses(self, steps: range) -> Iterator[dict[str, Tensor]]:
        """The losses of each step."""
        if self.loader is None:
            yield from (self.model.loss(self.batches(step)) for step in steps)
            return
        self.steps = steps
        assert isinstance(self.model, FromLoader)
        for subgraph in self.loader:
            self.model.subgraph = subgraph
            yield self.model.loss(self.waiting.popleft())

    def train(self, steps: range) -> None:
        """An optimiser step on each."""
        for losses in self.losses(steps):
            self.optimizer.zero_grad()
            losses["total"].backward()
            self.optimizer.step()

    @torch.no_grad()
    def totals(self, steps: range) -> np.ndarray:
        """(steps,) the losses, without training."""
        return np.array([float(losses["total"]) for losses in self.losses(steps)])


def made_model(graph: TrackGraph, seed: int = 0) -> Musig:
    """MUSIG with the paper's features, of which popularity alone is the graph's."""
    rng = np.random.default_rng(seed)
    genres = rng.integers(0, GENRES, len(graph))
    degree = graph.degree / graph.degree.max()
    sound = rng.random((len(graph), FEATURES - GENRES - 2))
    columns = [np.eye(GENRES)[genres], degree[:, None], np.sqrt(degree)[:, None], sound]
    torch.manual_seed(seed)
    settings = MusigSettings(dimensions=DIMENSIONS, fan_out=FAN_OUT, isolated=0.0)
    model = Musig(FEATURES, FixedWeights(dict.fromkeys(TASKS, 1.0)), settings)
    acoustic = torch.from_numpy(sound[:, -8:].astype(np.float32))
    told = Supervision(torch.from_numpy(genres), acoustic)
    model.learn_from(np.concatenate(columns, axis=1).astype(np.float32), graph, told)
    return model


def copied(model: Musig, graph: TrackGraph) -> Musig:
    """A model of the same weights over the same tracks."""
    other = made_model(graph)
    other.load_state_dict(model.state_dict())
    return other


def competitors(graph: TrackGraph, batches: PairBatches, ours: Fed) -> dict[str, Fed]:
    """What training is compared with, with the weights of ours."""
    plain = copied(ours.model, graph)
    plain._sampler = TrackByTrack(graph)  # type: ignore[assignment]
    found = {"track by track, random.choices": Fed(plain, batches)}
    if neighbour_loader_works():
        data = geometric(graph, ours.model._features)
        for workers, name in enumerate(("NeighborLoader", "NeighborLoader, a worker of its own")):
            model = FromLoader(ours.model)
            model.copy(ours.model)
            found[name] = Fed(model, batches, data, workers)
    return found


@torch.no_grad()
def same_vectors(model: Musig, graph: TrackGraph) -> bool:
    """Whether PyTorch Geometric's layers make the vectors that ours do, by all neighbours."""
    left, right, _ = graph.upper()
    kept = (left < INDUCED) & (right < INDUCED)
    small = TrackGraph.from_edges(np.stack([left[kept], right[kept]], axis=1), INDUCED)
    features = model._features[:INDUCED]
    other = FromLoader(model)
    other.copy(model)
    found = F.normalize(other.states(geometric(small, features)), dim=1).numpy()
    differ = float(np.abs(found - model.vectors(features.numpy(), small)).max())
    return check(differ <= VECTORS_AGREE, f"vectors by the same weights differ by {differ:.1e}")


def same_losses(candidates: dict[str, Fed], ours: Fed, steps: range) -> bool:
    """Whether all have our losses, on average over steps and within the noise of sampling."""
    wanted, agree = ours.totals(steps), True
    for name, fed in candidates.items():
        off = fed.totals(steps) - wanted
        noise = float(off.std(ddof=1)) / len(steps) ** 0.5
        agree &= check(
            abs(off.mean()) <= LOSSES_AGREE * wanted.mean(),
            f"{name}: loss {wanted.mean() + off.mean():.4f} against {wanted.mean():.4f}, "
            f"standard error of the difference {noise:.4f}",
        )
    return agree


def compare_epochs(options: argparse.Namespace) -> dict[str, object]:
    """Seconds of an epoch of training."""
    graph = build_graph(made_playlists(), TRACKS, MIN_WEIGHT)
    sampler = PairSampler(graph, PAIRS, 1, seed=0, negative_power=0.75)
    batches = PairBatches(sampler)
    ours = Fed(made_model(graph), batches)
    ours.train(range(options.steps))  # so that there is something to disagree about
    candidates = competitors(graph, batches, ours)
    epoch, scale = sampler.epochs.steps, sampler.epochs.steps / options.steps
    print(f"\nepoch: {epoch:,} steps of {PAIRS} edges and {PAIRS} strangers, fan-out {FAN_OUT}, "
          f"{FEATURES} features, {DIMENSIONS} dimensions, {graph.edges / 1e6:.2f} M edges, median "
          f"of {options.repeats}")  # fmt: skip
    print(f"  {options.steps} steps were run; times are scaled by {scale:.0f}")
    if not neighbour_loader_works():
        print("  neither pyg-lib nor torch-sparse is installed: no NeighborLoader to compare with")
    steps = range(options.steps, 2 * options.steps)
    agree = same_vectors(ours.model, graph) and same_losses(candidates, ours, steps)
    runs: dict[str, Callable[[], None]] = {
        name: partial(fed.train, steps) for name, fed in (candidates | {"ssl_audio": ours}).items()
    }
    seconds = {name: scale * value for name, value in race(runs, options.repeats).items()}
    loaders = {name: value for name, value in seconds.items() if name.startswith("Neighbor")}
    against = min((loaders or {name: seconds[name] for name in candidates}).values())
    for name, value in seconds.items():
        row(name, value, against)
        print(f"    {2 * PAIRS * epoch / value:,.0f} pairs/s")
    ratio = against / seconds["ssl_audio"]
    met = aim(ratio, EPOCH_AIM, "epoch, against the faster loader" if loaders else "epoch")
    return {"seconds": seconds, "neighbour_loader": bool(loaders), "scaled_by": scale,
            "ratio": ratio, "aim": EPOCH_AIM, "met": met, "agree": agree}  # fmt: skip


# --- evaluation -----------------------------------------------------------------------------------


def compare_evaluation(options: argparse.Namespace) -> dict[str, object]:
    """Seconds of the parts of an evaluation, each run once and in this order."""
    playlists = made_playlists().take(np.arange(2 * COMPLETED))
    rng = np.random.default_rng(1)
    shared = rng.normal(size=(TRACKS, DIMENSIONS)).astype(np.float32)
    systems = [
        shared + 0.1 * rng.normal(size=shared.shape).astype(np.float32) for _ in range(SYSTEMS)
    ]
    seconds: dict[str, float] = {}
    started = time.perf_counter()

    def done(part: str) -> None:
        seconds[part] = time.perf_counter() - started - sum(seconds.values())

    task = completion_task(playlists, TRACKS, most=COMPLETED)
    done("task")
    scores = [scores_by_cosine(vectors, task) for vectors in systems]
    done("cosines")
    figures = [evaluate(task, values).columns() for values in scores]
    done("ranking and figures")
    intervals = [interval(values) for columns in figures for values in columns.values()]
    done("bootstrap intervals")
    pairs = [(a, b) for a in range(MAIN_SYSTEMS) for b in range(SYSTEMS) if a != b]
    tests = [all_paired([(figures[a][m], figures[b][m]) for a, b in pairs]) for m in TESTED]
    corrected = [holm([one.p for one in found]) for found in tests]
    done("paired tests")
    total = sum(seconds.values())
    positions = len(task.candidates.tracks)
    print(f"\nevaluation: {len(task):,} playlists, {positions / 1e6:.2f} M candidates, {SYSTEMS} "
          f"systems of {DIMENSIONS} dimensions, {len(intervals)} intervals, "
          f"{len(TESTED) * len(pairs)} paired tests")  # fmt: skip
    for part, value in seconds.items():
        print(f"  {part:<44} {value:9.2f} s")
    met = total < EVALUATION_SECONDS
    print(f"  aim under {EVALUATION_SECONDS:g} s: {'met' if met else 'MISSED'} ({total:.1f} s)")
    agree = check(len(task) == COMPLETED and all((0 < p).all() for p in corrected),
                  f"{COMPLETED:,} playlists took part")  # fmt: skip
    return {"seconds": seconds, "total": total, "met": met, "agree": agree}


# --- the transformer ------------------------------------------------------------------------------


def peak_allocation(work: Callable[[], None]) -> int:
    """Bytes that torch has allocated at most in some work, beyond those it had before."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profiler:
        work()
    events = profiler.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return int(np.cumsum([size for _, size in changes]).max())


def measured_step(tracks: int, repeats: int) -> dict[str, float]:
    """Of a vocabulary: bytes of its tables and of a step beside them, and seconds of a step."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, tracks, 100_000).astype(np.int32)
    train = Playlists(drawn, np.arange(0, 100_001, 100), [""] * 1000)
    rows = np.concatenate([[-1] * SPECIALS, np.arange(tracks)]).astype(np.int32)
    words = Vocabulary(rows, len(rows), tracks)
    audio = np.broadcast_to(np.float32(1), (tracks, AUDIO))  # takes no memory of its own
    settings = TransformerSettings()
    model = PlaylistTransformer(words, settings, SideInformation(audio))
    optimizers = model.optimizers()
    batches = TransformerBatches(train, words, settings)

    def step(number: int) -> None:
        model.loss(batches(number))["total"].backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    step(0)  # makes the optimisers' state
    peak = peak_allocation(lambda: step(1))
    steps = iter(range(2, 10_000))
    seconds = race({"step": lambda: [step(next(steps)) for _ in range(10)] and None}, repeats)
    tables = 3 * model.tracks.ids.weight.nbytes  # Adam keeps two more
    return {"tables": tables, "peak": peak, "seconds": seconds["step"] / 10}


def compare_vocabularies(options: argparse.Namespace) -> dict[str, object]:
    """A step of each vocabulary."""
    found = {tracks: measured_step(tracks, options.repeats) for tracks in VOCABULARIES}
    print(f"\ntransformer: a training step of 16 playlists, 6 layers of 128 dimensions, median of "
          f"{options.repeats} times ten")  # fmt: skip
    for tracks, one in found.items():
        print(f"  {tracks:>9,} tracks: tables {one['tables'] / MIB:7,.0f} MiB with their moments, "
              f"a step {one['peak'] / MIB:6.1f} MiB beside them, {one['seconds']:.3f} s"
              )  # fmt: skip
    small, large = (found[tracks]["peak"] for tracks in VOCABULARIES)
    agree = check(abs(large - small) <= MEMORY_AGREES * small, "memory of a step")
    return {"steps": found, "agree": agree}


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; 1 when candidates disagree, since a ratio then says nothing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    benchmarks = {
        "graph": compare_graphs, "sampling": compare_sampling, "epoch": compare_epochs,
        "evaluation": compare_evaluation, "transformer": compare_vocabularies,
    }  # fmt: skip
    parser.add_argument("what", nargs="*", choices=[[], *benchmarks], metavar="WHAT")
    parser.add_argument("--share", type=float, default=0.03, help="of the playlists, in the loop")
    parser.add_argument("--batches", type=int, default=20, help="of the epoch's sampling")
    parser.add_argument("--steps", type=int, default=20, help="of the epoch's training")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    print(f"{torch.get_num_threads()} threads")
    found = {name: benchmarks[name](options) for name in options.what or benchmarks}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if all(result["agree"] for result in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
