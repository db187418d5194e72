"""Recommenders of millions of tracks: `python tools/benchmark_recommenders.py`.

Time and memory of a training step, of the graph of simulated playlists and of a completion after
loading, for a catalogue of two million tracks; and ratios to implicit, gensim and PyTorch Geometric
on a smaller one, in the same run, where they are installed. ALS and BPR are implicit's own, and
Track2Vec is gensim's. Each line has the process's memory, which grows from part to part: name one
part for its own.
"""

import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch
from timing import benchmark, race, table
from torch import nn

from ssl_audio.recommenders.baselines.item_cf import cosine, item_similarity
from ssl_audio.recommenders.baselines.playlist_knn import PlaylistKNN
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.csr import offsets_of
from ssl_audio.recommenders.data.graph import build_graph
from ssl_audio.recommenders.data.vocabulary import SPECIALS, vocabulary_of
from ssl_audio.recommenders.models.lightgcn import LightGCN, TripleBatches
from ssl_audio.recommenders.models.m2grl import M2GRL
from ssl_audio.recommenders.models.m2grl_batches import ITEM, M2GRLBatches
from ssl_audio.recommenders.models.sampling_decoder import generate
from ssl_audio.recommenders.models.transformer import Past, PlaylistTransformer
from ssl_audio.recommenders.models.transformer_batches import TransformerBatches
from ssl_audio.recommenders.recommender import VectorRecommender
from ssl_audio.recommenders.track_index import TrackIndex
from ssl_audio.recommenders.training import JointOptimizer, clip_gradients
from ssl_audio.settings.fields import Group, setting
from ssl_audio.settings.recommend import M2GRLSettings, RecommendSettings

SCENE, OWN_SCENE, LENGTHS = 1000, 0.7, (10, 60)  # tracks; share of a playlist; tracks in a playlist
DIMENSIONS, SEEDS, LENGTH, QUERIES = 128, 20, 30, 50  # of completions
CHECKED = 10  # of the transformer's completions, by exact search
LIMIT = 0.05  # seconds of a completion


class BenchmarkSettings(Group):
    what: tuple[Literal["transformer", "skipgram", "graph", "completion", "peers"], ...] = setting(
        (), help="what to measure; default: everything"
    )
    tracks: int = setting(2_000_000, help="tracks", min=5_000)
    playlists: int = setting(1_000_000, help="simulated playlists", min=100)
    peer_tracks: int = setting(20_000, help="tracks of peers", min=2_000)
    peer_playlists: int = setting(20_000, help="simulated playlists of peers", min=100)
    steps: int = setting(20, help="training steps", min=2)
    repeats: int = setting(3, help="repeats of peers, of which the median is taken", min=1)
    json: Path | None = setting(None, help="file that the figures are written to")


def simulated(playlists: int, tracks: int) -> Playlists:
    """Playlists with 70 % of the tracks from one scene and the others from any, popular ones first.

    The k-th track of a scene, or of all, is drawn with probability proportional to 1 / (k + a tenth
    of their number).
    """
    rng = np.random.default_rng(0)
    lengths = rng.integers(LENGTHS[0], LENGTHS[1] + 1, playlists)
    scenes, size = max(tracks // SCENE, 1), min(SCENE, tracks)
    own = np.repeat(rng.integers(scenes, size=playlists, dtype=np.int32), lengths)
    inside = rng.random(len(own), np.float32) < OWN_SCENE
    place = _popular_first(rng, size, len(own)) * scenes + own
    drawn = np.where(inside, place, _popular_first(rng, tracks, len(own)))
    return Playlists(drawn.astype(np.int32), offsets_of(lengths), [""] * playlists)


def _popular_first(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    """(count,) numbers below `size`, by inversion of the distribution function."""
    first = size / 10
    drawn = first * ((size + first) / first) ** rng.random(count) - first
    return np.minimum(drawn, size - 1).astype(np.int32)


def memory() -> float:
    """Resident memory of this process, GB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e9


def report(what: str, seconds: float, **more: float) -> dict[str, float]:
    """Print and return a figure."""
    found = {"seconds": seconds, "memory": memory(), **more}
    shown = f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
    words = [f"{name} {value:.4g}" for name, value in more.items()]
    print("  " + ", ".join([f"{what}: {shown}", *words, f"{found['memory']:.2f} GB in use"]))
    return found


def trainer(model: Any, batches: Callable[[int], Any], clip: float | None) -> Callable[[int], None]:
    """A function that makes a step, as `training.fit` does."""
    optimizer = JointOptimizer(model.optimizers())
    model.train()

    def step(number: int) -> None:
        optimizer.zero_grad()
        model.loss(batches(number))["total"].backward()
        if clip is not None:
            clip_gradients(model, clip)
        optimizer.step()

    return step


def step_seconds(step: Callable[[int], None], steps: int) -> float:
    """The median; the first is not counted."""
    step(0)
    seconds = []
    for number in range(1, steps + 1):
        started = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def given(**groups: Any) -> RecommendSettings:
    return replace(RecommendSettings(playlists=Path("none")), **groups)


# --- training ------------------------------------------------------------------------------------


def every_track_once(tracks: int) -> Playlists:
    """A playlist of all tracks, which a vocabulary is made from."""
    return Playlists(np.arange(tracks, dtype=np.int32), np.array([0, tracks]), ["all"])


def made_transformer(tracks: int) -> PlaylistTransformer:
    vocabulary = vocabulary_of(every_track_once(tracks), tracks)
    return PlaylistTransformer(vocabulary, given().transformer)


def measure_transformer(options: BenchmarkSettings) -> dict[str, Any]:
    """A training step with default settings: 16 playlists, sampled softmax above 20,000 tracks."""
    print(f"\ntransformer, {options.tracks:,} tracks")
    model, chosen = made_transformer(options.tracks), given().transformer
    lists = simulated(min(options.playlists, 10_000), options.tracks)
    batches = TransformerBatches(lists, model.vocabulary, chosen)
    step = trainer(model, batches, chosen.clip)
    return report("a step of 16 playlists", step_seconds(step, options.steps))


def made_skipgram(tracks: int, playlists: int) -> tuple[nn.Module, M2GRLBatches, M2GRLSettings]:
    chosen = replace(given().m2grl, weights="uniform")
    views, sizes = {ITEM: simulated(playlists, tracks)}, {ITEM: tracks}
    return M2GRL(sizes, [], chosen), M2GRLBatches(views, {}, sizes, chosen), chosen


def measure_skipgram(options: BenchmarkSettings) -> dict[str, Any]:
    """A training step of M2GRL's item view with default settings: 2,048 pairs."""
    print(f"\nM2GRL, items alone, {options.tracks:,} tracks, {options.playlists:,} playlists")
    model, batches, chosen = made_skipgram(options.tracks, options.playlists)
    step = trainer(model, batches, chosen.clip)
    return report(f"a step of {chosen.batch_size} pairs", step_seconds(step, options.steps))


def measure_graph(options: BenchmarkSettings) -> dict[str, Any]:
    """The graph of tracks that share two playlists or more."""
    print(f"\ngraph of {options.playlists:,} playlists of {options.tracks:,} tracks")
    lists = simulated(options.playlists, options.tracks)
    build_graph(lists.take(np.arange(10)), options.tracks, 1)  # compiles
    started = time.perf_counter()
    edges = build_graph(lists, options.tracks, 2).edges
    return report("all edges of weight 2 or more", time.perf_counter() - started, edges=edges)


# --- completion ----------------------------------------------------------------------------------


class Simulated(VectorRecommender):
    """Vectors of scenes with noise, as trained ones lie."""

    name = "vectors"

    def train(self, folder: Path) -> np.ndarray:
        rng = np.random.default_rng(0)
        tracks, scenes = self.data.tracks, max(self.data.tracks // SCENE, 1)
        centres = rng.standard_normal((scenes, DIMENSIONS), np.float32)
        vectors = rng.standard_normal((tracks, DIMENSIONS), np.float32)
        vectors += centres[np.arange(tracks) % scenes]
        return vectors


def histories(tracks: int) -> list[np.ndarray]:
    """Histories of one scene each."""
    rng, scenes = np.random.default_rng(1), max(tracks // SCENE, 1)
    own = rng.integers(scenes, size=QUERIES)
    members = rng.permuted(np.tile(np.arange(tracks // scenes), (QUERIES, 1)), axis=1)[:, :SEEDS]
    return list(members * scenes + own[:, None])


def completions(
    what: str, continued: Callable[[np.ndarray], list[int]], tracks: int
) -> tuple[list[list[int]], dict[str, float]]:
    """Tracks and seconds of some completions, one playlist at a time, after a first one."""
    lists = histories(tracks)
    continued(lists[0])
    seconds, cpu, found = [], [], []
    for one in lists:
        started, used = time.perf_counter(), time.process_time()
        found.append(continued(one))
        cpu.append(time.process_time() - used)
        seconds.append(time.perf_counter() - started)
    slow = float(np.quantile(seconds, 0.95))
    figures = report(what, float(np.median(seconds)), p95=slow, cpu=float(np.median(cpu)))
    print(f"  aim {1000 * LIMIT:g} ms: {'met' if slow < LIMIT else 'MISSED'}")
    return found, figures


def measure_completion(options: BenchmarkSettings) -> dict[str, Any]:
    """A completion by 30 tracks after loading, among all tracks."""
    tracks = options.tracks
    print(f"\ncompletion of a playlist of {SEEDS} by {LENGTH} among {tracks:,} tracks")
    vectors, figures = _by_vectors(tracks)
    figures["transformer"] = _by_transformer(vectors, tracks)
    figures["playlist kNN"] = _by_playlists(tracks, options.playlists)
    return figures


def _by_transformer(trained: Simulated, tracks: int) -> dict[str, float]:
    """By the graph, without training: track vectors are those of a trained recommender, whose
    scenes the states then follow."""
    model, graph = made_transformer(tracks).eval(), trained.indexes(True)
    with torch.no_grad():
        rows = model.vocabulary.rows[SPECIALS:]
        model.tracks.ids.weight[SPECIALS:] = torch.from_numpy(trained.scorer.outputs[rows])
    found, figures = completions(
        f"transformer, {LENGTH} times a next track, by the graph",
        lambda one: generate(model, one.tolist(), LENGTH, 1, index=graph), tracks,
    )  # fmt: skip
    pairs = zip(histories(tracks)[:CHECKED], found, strict=False)
    best = [
        _most_likely(model, trained.indexes(False), one.tolist(), added) for one, added in pairs
    ]
    print(f"  {np.mean(best):.1%} of its tracks are the most likely ones by exact search")
    return {**figures, "recall": float(np.mean(best))}


def _most_likely(
    model: PlaylistTransformer, exact: TrackIndex, history: list[int], added: list[int]
) -> float:
    """Share of the tracks added that are the most likely next ones of all."""
    playlist, past, hits = list(history), list[Past](), 0
    for track in added:
        state = model.state_after(playlist, past).numpy()
        rows = exact.nearest(state, len(playlist) + 1)[0][0]
        hits += track == rows[~np.isin(rows, playlist)][0]
        playlist.append(track)
    return hits / len(added)


def _by_vectors(tracks: int) -> tuple[Simulated, dict[str, Any]]:
    """The recommender, and figures of exact search and of the graph."""
    figures: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        data: Any = SimpleNamespace(tracks=tracks, in_sessions=False)
        vectors = Simulated(given(), data)
        vectors.fit(Path(folder))
        started = time.perf_counter()
        vectors.indexes(True)
        figures["graph"] = report("vectors: the graph is built", time.perf_counter() - started)
        more = partial(vectors.continuation, length=LENGTH, k=1, seed=0)
        near, figures["by graph"] = completions(
            "vectors, by the graph", partial(more, approximate=True), tracks
        )
        exact, figures["exact"] = completions(
            "vectors, exact", partial(more, approximate=False), tracks
        )
    recall = float(np.mean([len({*a} & {*b}) / LENGTH for a, b in zip(near, exact, strict=True)]))
    print(f"  {recall:.1%} of the exact completions are in those by the graph")
    return vectors, {**figures, "recall": recall}


def _by_playlists(tracks: int, playlists: int) -> dict[str, float]:
    data: Any = SimpleNamespace(tracks=tracks, in_sessions=False)
    data.train = simulated(playlists, tracks)
    data.counts = np.bincount(data.train.tracks, minlength=tracks)
    knn = PlaylistKNN(given(), data)
    started = time.perf_counter()
    knn.fit(Path())
    report(f"playlist kNN: {playlists:,} playlists are read", time.perf_counter() - started)
    return completions(
        "playlist kNN", lambda one: knn.continuation(one, LENGTH, 1, 0, None), tracks
    )[1]


# --- peers ---------------------------------------------------------------------------------------


def measure_peers(options: BenchmarkSettings) -> dict[str, Any]:
    """Ratios to other packages on a smaller catalogue, each where it is installed."""
    found = {}
    for package, peer in (("implicit", _implicit), ("gensim", _gensim),
                          ("torch_geometric", _geometric)):  # fmt: skip
        if importlib.util.find_spec(package):
            found[package] = peer(options, simulated(options.peer_playlists, options.peer_tracks))
        else:
            print(f"\n{package} is not installed")
    return found


def _implicit(options: BenchmarkSettings, lists: Playlists) -> dict[str, Any]:
    from implicit.nearest_neighbours import CosineRecommender
    from scipy.sparse import csr_matrix

    held = csr_matrix(lists.held(options.peer_tracks))
    candidates: dict[str, Callable[[], object]] = {
        "implicit, CosineRecommender": lambda: CosineRecommender(K=100, num_threads=1).fit(
            held, show_progress=False
        ),
        "ssl_audio, item-CF": lambda: item_similarity(lists, options.peer_tracks, 100, cosine),
    }
    seconds = race(candidates, options.repeats)
    title = f"item kNN of {options.peer_tracks:,} tracks, 100 neighbours"
    return table(title, seconds, len(lists), "playlists")


def _gensim(options: BenchmarkSettings, lists: Playlists) -> dict[str, Any]:
    """Positive pairs in a second, with as many dimensions, negatives and as wide windows."""
    from ssl_audio.recommenders.baselines.track2vec import track2vec
    from ssl_audio.settings.baselines import Word2VecSettings

    model, batches, chosen = made_skipgram(options.peer_tracks, options.peer_playlists)
    step = trainer(model, batches, chosen.clip)
    same = Word2VecSettings(
        dimensions=chosen.dimensions, window=chosen.window, draw_windows=False,
        negatives=chosen.negatives, epochs=1,
    )  # fmt: skip
    some = lists.take(np.arange(min(len(lists), 1000)))
    pairs = len(M2GRLBatches({ITEM: some}, {}, {ITEM: options.peer_tracks}, chosen).pairs[ITEM])
    seconds = race({
        "gensim, Word2Vec, one thread": lambda: track2vec(some, options.peer_tracks, same),
        "ssl_audio, M2GRL's items": lambda: [step(k) for k in range(options.steps)],
    }, options.repeats)  # fmt: skip
    # as if both had learnt from as many pairs
    seconds["ssl_audio, M2GRL's items"] *= pairs / (options.steps * chosen.batch_size)
    return table("skip-gram", seconds, pairs, "pairs")


def _geometric(options: BenchmarkSettings, lists: Playlists) -> dict[str, Any]:
    """A step of LightGCN: all layers over the whole graph, BPR, gradients, Adam."""
    from torch_geometric.nn.models import LightGCN as Geometric

    chosen, tracks = given().lightgcn, options.peer_tracks
    batches = TripleBatches(lists, tracks, chosen.batch_size)
    ours = trainer(LightGCN(lists, tracks, chosen), batches, None)
    model = Geometric(len(lists) + tracks, chosen.dimensions, chosen.layers)
    held = lists.held(tracks).tocoo()
    ends = torch.from_numpy(np.stack([held.row, held.col + len(lists)]).astype(np.int64))
    edges = torch.cat([ends, ends.flip(0)], 1)
    optimizer = torch.optim.Adam(model.parameters(), chosen.learning_rate)

    def theirs(number: int) -> None:
        batch = batches(number)
        left = batch.playlists.repeat(2)
        labels = torch.stack([left, torch.cat([batch.own, batch.other]) + len(lists)])
        better, worse = model(edges, labels).chunk(2)
        optimizer.zero_grad()
        model.recommendation_loss(
            better, worse, node_id=labels.flatten(), lambda_reg=chosen.regularisation
        ).backward()
        optimizer.step()

    seconds = race({
        "PyTorch Geometric, LightGCN": lambda: [theirs(k) for k in range(options.steps)],
        "ssl_audio, LightGCN": lambda: [ours(k) for k in range(options.steps)],
    }, options.repeats)  # fmt: skip
    title = f"LightGCN, {len(held.data):,} positions of {tracks:,} tracks"
    return table(title, seconds, options.steps, "steps")


WHAT = {
    "transformer": measure_transformer,
    "skipgram": measure_skipgram,
    "graph": measure_graph,
    "completion": measure_completion,
    "peers": measure_peers,
}
main = benchmark(
    "benchmark_recommenders",
    "Measure recommenders of two million tracks, and ratios to other packages.",
    ("completion", "peers json=figures.json", "tracks=20000 playlists=5000"), BenchmarkSettings,
    WHAT,
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
