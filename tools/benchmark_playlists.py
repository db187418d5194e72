"""The playlist models' ratios, measured side by side: `python tools/benchmark_playlists.py [WHAT]`.

WHAT is graph or sampling; all by default. The size is that of MUSIG's paper: 95,000 playlists of 40
to 120 of 15,900 tracks, and about 5.2 million edges between tracks that share ten playlists; the
playlists are drawn here, some tracks more often than others, so that as many edges are left.
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
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from benchmark_probe import aim, check, race, row
from torch import Tensor

from ssl_audio.playlists.collection import Playlists
from ssl_audio.playlists.graph import LEAST_WEIGHT, TrackGraph, build_graph
from ssl_audio.playlists.sampling import NeighbourSampler, PairSampler

PLAYLISTS, TRACKS, LENGTHS = 95_000, 15_900, (40, 120)
POPULARITY = 1_700  # chance of the k-th track in proportion to 1 / (k + this): leaves 5.2 M edges
FAN_OUT, PAIRS, FEATURES = (25, 10), 512, 102  # genre, popularity, audio and acoustic features
GRAPH_AIM, GRAPH_SECONDS, SAMPLING_AIM = 100.0, 60.0, 5.0  # on two CPU cores
MEANS_AGREE = 0.005  # mean features of a batch, by two random samples of the same neighbours

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
    graph = build_graph(playlists, TRACKS)
    first = time.perf_counter() - started
    scale = pairs_in(playlists) / pairs_in(share)
    runs: dict[str, Callable[[], None]] = {
        "plain": lambda: plain_graph(share) and None,
        "ssl_audio": lambda: build_graph(playlists, TRACKS) and None,
    }
    seconds = race(runs, options.repeats)
    plain = seconds["plain"] * scale
    print(f"\ngraph: {PLAYLISTS:,} playlists, {TRACKS:,} tracks, {pairs_in(playlists) / 1e6:.0f} M "
          f"pairs, {graph.edges / 1e6:.2f} M edges of weight {LEAST_WEIGHT} or more, median of "
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


class Plain:
    """A sampler that goes from track to track."""

    def __init__(self, graph: TrackGraph, features: Tensor, seed: int = 0) -> None:
        self.lists = [graph[track].tolist() for track in range(len(graph))]
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


class Loader:
    """PyTorch Geometric's NeighborLoader, which draws each track's neighbours once a batch."""

    def __init__(self, graph: TrackGraph, features: Tensor) -> None:
        from torch_geometric.data import Data

        targets = torch.from_numpy(np.repeat(np.arange(len(graph)), graph.degree))
        sources = torch.from_numpy(graph.neighbours.astype(np.int64))
        self.data = Data(x=features, edge_index=torch.stack([sources, targets]))

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
    graph = build_graph(made_playlists(), TRACKS)
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
    scale = pairs.steps_per_epoch / options.batches
    seconds = {name: scale * value for name, value in race(runs, options.repeats).items()}
    against = seconds[next(iter(runs))]
    print(f"\nsampling: an epoch of {pairs.steps_per_epoch:,} batches of {PAIRS} pairs, fan-out "
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


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; 1 when candidates disagree, since a ratio then says nothing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    benchmarks = {"graph": compare_graphs, "sampling": compare_sampling}
    parser.add_argument("what", nargs="*", choices=[[], *benchmarks], metavar="WHAT")
    parser.add_argument("--share", type=float, default=0.03, help="of the playlists, in the loop")
    parser.add_argument("--batches", type=int, default=20, help="of the epoch's sampling")
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
