"""Ratios of the playlist models to a peer in the same run: `python tools/benchmark_playlists.py`.

The peer of training is PyTorch Geometric's NeighborLoader, which needs pyg-lib or torch-sparse. The
size is that of MUSIG's paper: 95,000 playlists of 40 to 120 of 15,900 tracks. The playlists are
drawn so that 5.2 million edges of weight 10 or more are left.
"""

import sys
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from timing import aim, benchmark, race, table
from torch import Tensor, nn

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.graph import TrackGraph, build_graph
from ssl_audio.recommenders.data.sampling import NeighbourSampler, PairSampler
from ssl_audio.recommenders.evaluation.completion import completion_figures, completion_task
from ssl_audio.recommenders.evaluation.significance import interval, paired_differences
from ssl_audio.recommenders.models.musig import Musig
from ssl_audio.recommenders.models.musig_training import MusigTraining, PairBatches, Pairs
from ssl_audio.recommenders.scorers import Cosine
from ssl_audio.settings.fields import Group, setting
from ssl_audio.settings.recommend import MusigSettings

PLAYLISTS, TRACKS, LENGTHS, MIN_WEIGHT = 95_000, 15_900, (40, 120), 10
POPULARITY = 1_700  # the k-th track is drawn with probability proportional to 1 / (k + this)
FAN_OUT, PAIRS, FEATURES, GENRES, DIMENSIONS = (25, 10), 512, 102, 50, 128
LOSS_TOLERANCE = 0.02  # of the mean loss; NeighborLoader reads one sample of a track at both depths
COMPLETED, SYSTEMS, MAIN_SYSTEMS, MAX_SECONDS = 10_000, 10, 3, 60.0


class BenchmarkSettings(Group):
    what: tuple[Literal["graph", "epoch", "evaluation"], ...] = setting(
        (), help="what to measure; default: everything"
    )
    share: float = setting(
        0.03, help="share of the playlists that the peer of graph counts", above=0, max=1
    )
    steps: int = setting(20, help="training steps of epoch", min=2)
    repeats: int = setting(3, help="repeats, of which the median is taken", min=1)
    json: Path | None = setting(None, help="file that the figures are written to")


def made_playlists() -> Playlists:
    """Playlists at the paper's size; a track may be in one twice, which the graph counts once."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(LENGTHS[0], LENGTHS[1] + 1, PLAYLISTS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    chances = 1 / (np.arange(TRACKS) + POPULARITY)
    drawn = np.searchsorted(np.cumsum(chances / chances.sum()), rng.random(offsets[-1]))
    rows = rng.permutation(TRACKS).astype(np.int32)  # popularity does not follow the row number
    tracks = rows[np.minimum(drawn, TRACKS - 1)]
    return Playlists(tracks, offsets, [str(k) for k in range(PLAYLISTS)])


# --- the graph -----------------------------------------------------------------------------------


def peer_graph(playlists: Playlists) -> dict[tuple[int, int], int]:
    """Playlists in common of each pair of tracks, by a double loop and a dictionary."""
    counts: dict[tuple[int, int], int] = defaultdict(int)
    for playlist in range(len(playlists)):
        tracks = sorted(set(playlists[playlist].tolist()))
        for k, track in enumerate(tracks):
            for other in tracks[k + 1 :]:
                counts[track, other] += 1
    return counts


def same_edges(playlists: Playlists) -> bool:
    """True if both find the same pairs that share two playlists."""
    left, right, weights = build_graph(playlists, TRACKS, 2).upper()
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    found = dict(zip(pairs, weights.tolist(), strict=True))
    return found == {pair: count for pair, count in peer_graph(playlists).items() if count >= 2}


def pairs_in(playlists: Playlists) -> int:
    """Pairs of positions of one playlist."""
    lengths = playlists.lengths
    return int((lengths * (lengths - 1) // 2).sum())


def measure_graph(options: BenchmarkSettings) -> dict[str, Any]:
    """The graph of all playlists, against a double loop over a share, scaled: in favour of the
    loop, whose dictionary of all pairs would not fit in any cache."""
    playlists = made_playlists()
    share = playlists.take(np.arange(round(PLAYLISTS * options.share)))
    started = time.perf_counter()
    edges = build_graph(playlists, TRACKS, MIN_WEIGHT).edges
    first = time.perf_counter() - started
    scale = pairs_in(playlists) / pairs_in(share)
    seconds = race(
        {
            "double loop, dictionary": lambda: peer_graph(share),
            "ssl_audio": lambda: build_graph(playlists, TRACKS, MIN_WEIGHT),
        },
        options.repeats,
    )
    seconds["double loop, dictionary"] *= scale
    seconds["ssl_audio, with its compilation"] = first
    print(f"\nthe double loop counted {len(share):,} playlists; its time is scaled by {scale:.0f}")
    title = f"graph of {pairs_in(playlists) / 1e6:.0f} M pairs, {edges / 1e6:.2f} M edges"
    rows = table(title, seconds, PLAYLISTS, "playlists")
    aim(rows["ssl_audio"]["ratio"], 100.0, "graph")
    agree = check(same_edges(share), "edges of weight 2 or more in the share")
    return {"rows": rows, "agree": agree and first < MAX_SECONDS}


# --- training MUSIG ------------------------------------------------------------------------------


class GeometricMusig(Musig):
    """MUSIG by PyTorch Geometric's layers, over the subgraph that its NeighborLoader sampled."""

    def __init__(self, model: Musig) -> None:
        from torch_geometric.nn import SAGEConv

        super().__init__(model.inputs, model.settings)
        self.subgraph: Any = None
        linears = [aggregator.linear for aggregator in model.aggregators]
        self.layers = nn.ModuleList(SAGEConv(x.in_features // 2, x.out_features) for x in linears)
        del self.aggregators
        with torch.no_grad():
            for layer, linear in zip(self.layers, linears, strict=True):
                own, neighbours = linear.weight.chunk(2, dim=1)
                layer.lin_r.weight.copy_(own)
                layer.lin_l.weight.copy_(neighbours)
                layer.lin_l.bias.copy_(linear.bias)
        self.scales.load_state_dict(model.scales.state_dict())
        self.offsets.load_state_dict(model.offsets.state_dict())

    def embed(
        self, nodes: Tensor, features: Tensor, sampler: NeighbourSampler, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """As `Musig.embed`; the first nodes of the subgraph are the distinct ones, ascending."""
        first = self.subgraph.batch_size
        place = torch.searchsorted(self.subgraph.n_id[:first], nodes)
        state = self.subgraph.x
        for depth, layer in enumerate(self.layers):
            state = layer(state, self.subgraph.edge_index)
            state = state if depth == len(self.layers) - 1 else F.relu(state)
        return F.normalize(state[:first], dim=1), place


class Trainer:
    """Training steps of a model.

    Args:
        training: a model of its own, with the data.
        batches: the pairs of a step.
        graph: whose subgraphs are drawn by a NeighborLoader; None: the model samples neighbours.
    """

    def __init__(
        self, training: MusigTraining, batches: PairBatches, graph: TrackGraph | None = None
    ) -> None:
        self.training, self.batches = training, batches
        (self.optimizer,) = training.optimizers()
        self.steps, self.queue = range(0), deque[Pairs]()
        self.loader = None if graph is None else self._loader(graph)

    def _loader(self, graph: TrackGraph) -> Any:
        from torch_geometric.data import Data
        from torch_geometric.loader import NeighborLoader

        targets = torch.from_numpy(np.repeat(np.arange(len(graph)), graph.degree))
        sources = torch.from_numpy(graph.neighbours.astype(np.int64))
        data = Data(x=self.training.features, edge_index=torch.stack([sources, targets]))
        return NeighborLoader(data, list(FAN_OUT), replace=True, batch_sampler=self)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[int]]:
        """The distinct tracks of each step, for the loader."""
        for step in self.steps:
            self.queue.append(self.batches(step))
            yield torch.cat(self.queue[-1][:2]).unique().tolist()

    def losses(self, steps: range) -> Iterator[dict[str, Tensor]]:
        """The losses of each step."""
        if self.loader is None:
            yield from (self.training.loss(self.batches(step)) for step in steps)
            return
        self.steps = steps
        for subgraph in self.loader:
            self.training.model.subgraph = subgraph
            yield self.training.loss(self.queue.popleft())

    def train(self, steps: range) -> None:
        """An optimiser step on each."""
        for losses in self.losses(steps):
            self.optimizer.zero_grad()
            losses["total"].backward()
            self.optimizer.step()

    @torch.no_grad()
    def totals(self, steps: range) -> np.ndarray:
        """(steps,) losses, without training."""
        return np.array([float(losses["total"]) for losses in self.losses(steps)])


def with_data(model: Musig, graph: TrackGraph) -> MusigTraining:
    """A model with node features of the paper's sizes."""
    rng = np.random.default_rng(0)
    genres = rng.integers(0, GENRES, len(graph))
    degree = graph.degree / graph.degree.max()
    audio = rng.random((len(graph), FEATURES - GENRES - 2))
    columns = [np.eye(GENRES)[genres], degree[:, None], np.sqrt(degree)[:, None], audio]
    features, has_audio = np.concatenate(columns, axis=1), np.ones(len(graph), bool)
    return MusigTraining(model, features, graph, genres, audio[:, -8:], has_audio)


def untrained() -> Musig:
    torch.manual_seed(0)
    # NeighborLoader cannot compute a track without its neighbours: isolated=0
    settings = MusigSettings(
        weights=(1, 1, 1), dimensions=DIMENSIONS, fan_out=FAN_OUT, isolated=0.0
    )
    return Musig(FEATURES, settings)


def same_losses(peer: Trainer, ours: Trainer, steps: range) -> bool:
    """True if the mean losses agree."""
    expected = ours.totals(steps)
    difference = peer.totals(steps) - expected
    error = float(difference.std(ddof=1)) / len(steps) ** 0.5
    return check(
        abs(difference.mean()) <= LOSS_TOLERANCE * expected.mean(),
        f"mean losses differ by {difference.mean():.4f} of {expected.mean():.4f}, "
        f"standard error {error:.4f}",
    )


def measure_epoch(options: BenchmarkSettings) -> dict[str, Any]:
    """Training steps of MUSIG: pairs, neighbours, three tasks, gradients, AdamW."""
    graph = build_graph(made_playlists(), TRACKS, MIN_WEIGHT)
    batches = PairBatches(PairSampler(graph, PAIRS, 1, seed=0, negative_power=0.75))
    ours = Trainer(with_data(untrained(), graph), batches)
    ours.train(range(options.steps))  # the losses of untrained models would agree in any case
    peer = Trainer(with_data(GeometricMusig(ours.training.model), graph), batches, graph)
    steps = range(options.steps, 2 * options.steps)
    agree = same_losses(peer, ours, steps)
    runs = {"NeighborLoader": partial(peer.train, steps), "ssl_audio": partial(ours.train, steps)}
    seconds = race(runs, options.repeats)
    title = f"MUSIG, {2 * PAIRS} pairs a step, fan-out {FAN_OUT}, {graph.edges / 1e6:.2f} M edges"
    rows = table(title, seconds, 2 * PAIRS * options.steps, "pairs")
    aim(rows["ssl_audio"]["ratio"], 5.0, "epoch")
    return {"rows": rows, "agree": agree}


# --- evaluation ----------------------------------------------------------------------------------


def measure_evaluation(options: BenchmarkSettings) -> dict[str, Any]:
    """Seconds from playlists and the vectors of ten systems to the tables of a comparison."""
    playlists = made_playlists().take(np.arange(2 * COMPLETED))
    rng = np.random.default_rng(1)
    shape = (TRACKS, DIMENSIONS)
    shared = rng.normal(size=shape).astype("f4")
    systems = [shared + 0.1 * rng.normal(size=shape).astype("f4") for _ in range(SYSTEMS)]
    started = time.perf_counter()
    task = completion_task(playlists, TRACKS, max_playlists=COMPLETED)
    figures = {
        str(k): completion_figures(task, Cosine(v).score(task.seeds, task.candidates))
        for k, v in enumerate(systems)
    }
    intervals = [interval(values) for columns in figures.values() for values in columns.values()]
    pairs = [(str(a), str(b)) for a in range(MAIN_SYSTEMS) for b in range(SYSTEMS) if a != b]
    differences = paired_differences(pairs, figures, ("hr", "ndcg@10"))
    seconds = time.perf_counter() - started
    print(f"\nevaluation: {len(task):,} playlists, {SYSTEMS} systems, {len(intervals)} intervals, "
          f"{len(differences)} paired tests: {seconds:.1f} s")  # fmt: skip
    everyone = len(task) == COMPLETED and all(one.p for one in differences)
    agree = check(everyone, f"{COMPLETED:,} playlists took part")
    agree &= check(seconds < MAX_SECONDS, f"less than {MAX_SECONDS:g} s")
    return {"seconds": seconds, "agree": agree}


def check(agrees: bool, what: str) -> bool:
    """Print and return whether two results agree."""
    print(f"  {'agrees' if agrees else 'DISAGREES'}: {what}")
    return agrees


WHAT = {
    "graph": measure_graph,
    "epoch": measure_epoch,
    "evaluation": measure_evaluation,
}
main = benchmark(
    "benchmark_playlists", "Measure ratios of the playlist models to a peer in the same run.",
    ("graph", "epoch steps=50 json=figures.json"), BenchmarkSettings, WHAT,
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
