"""Skip-gram against gensim's Word2Vec: `python tools/benchmark_skipgram.py [CORPUS ...]`.

CORPUS is planted or movielens; both by default, movielens where ../shared/movielens is.

Same playlists, dimension, window, negatives, passes and cores, taking turns. Prints positions a
second of both, and both qualities: on planted groups, how many of a track's ten nearest are of its
group; on MovieLens, HitRate@50 of the next session, with the interval of the difference over users
(a bootstrap of users, of figures that are means over the seeds).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from gensim.models import Word2Vec

from ssl_audio.io.parallel import available_processors
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.movielens import read_movielens
from ssl_audio.recommenders.data.sessions import make_sessions
from ssl_audio.recommenders.evaluation.retrieval import (
    RetrievalTask,
    measure_hits,
    next_session_task,
    retrieve,
)
from ssl_audio.recommenders.models.skipgram import SkipGramSettings, train_skipgram
from ssl_audio.settings.recommend import SessionSettings

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "movielens"
GROUPS = 100


def by_gensim(
    playlists: Playlists, tracks: int, settings: SkipGramSettings, workers: int
) -> tuple[np.ndarray, float]:
    """Vectors (tracks, dimension), zeros where gensim has none, and seconds of training alone."""
    words = [str(k) for k in range(tracks)]
    corpus = [[words[t] for t in playlists[k].tolist()] for k in range(len(playlists))]
    model = Word2Vec(
        vector_size=settings.dimension, window=settings.window, negative=settings.negatives,
        ns_exponent=settings.power, shrink_windows=settings.shrink, alpha=settings.rate,
        min_alpha=settings.least_rate, seed=settings.seed + 1, workers=workers,
        sg=1, sample=0, min_count=1,
    )  # fmt: skip
    model.build_vocab(corpus)
    started = time.perf_counter()
    model.train(corpus, total_examples=len(corpus), epochs=settings.epochs)
    seconds = time.perf_counter() - started
    vectors = np.zeros((tracks, settings.dimension), np.float32)
    vectors[[int(word) for word in model.wv.index_to_key]] = model.wv.vectors
    return vectors, seconds


def by_ours(
    playlists: Playlists, tracks: int, settings: SkipGramSettings, workers: int
) -> tuple[np.ndarray, float]:
    """The same by this project, all that it does."""
    started = time.perf_counter()
    vectors = train_skipgram(playlists, tracks, settings, workers)
    return vectors, time.perf_counter() - started


def compare(
    title: str,
    playlists: Playlists,
    tracks: int,
    quality: Callable[[np.ndarray], dict[str, np.ndarray]],
    options: argparse.Namespace,
) -> None:
    """One corpus: speed as medians over the repeats, quality as means over them (a seed each)."""
    settings = SkipGramSettings(epochs=options.epochs, shrink=options.shrink)
    ways = {
        f"gensim, workers={options.workers}": (by_gensim, options.workers),
        f"ours, workers={options.workers}": (by_ours, options.workers),
        "ours, workers=1": (by_ours, 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in ways}
    for seed in range(options.repeats):
        for name, (train, workers) in ways.items():
            vectors, took = train(playlists, tracks, replace(settings, seed=seed), workers)
            seconds[name].append(took)
            found[name].append(quality(vectors))
    load = os.getloadavg()[0]
    print(
        f"\n{title}: {len(playlists)} playlists, {len(playlists.tracks)} positions,"
        f" {tracks} tracks; {settings.epochs} passes, {available_processors()} cores,"
        f" load {load:.1f}, {options.repeats} repeats"
    )
    theirs, ours, *_ = ways
    work = settings.epochs * len(playlists.tracks)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in median.items():
        ratio = median[theirs] / value
        print(f"  {name:<18} {work / value:12,.0f} positions/s {ratio:6.2f}x")
    for figure in found[theirs][0]:
        a, b = (np.mean([one[figure] for one in found[way]], axis=0) for way in (ours, theirs))
        low, high = interval(a - b)
        print(f"  {figure:<24} ours {a.mean():.4f}, gensim {b.mean():.4f}, "
              f"difference {(a - b).mean():+.4f} ({low:+.4f} to {high:+.4f})")  # fmt: skip


def interval(differences: np.ndarray) -> tuple[float, float]:
    """95 % of the means of resampled rows."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(differences), (1000, len(differences)))
    low, high = np.quantile(differences[rows].mean(1), [0.025, 0.975])
    return float(low), float(high)


def purity(vectors: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
    """(tracks with a vector,) the part of each one's ten nearest by cosine that is of its group."""
    known = np.flatnonzero(vectors.any(1))
    unit = vectors[known] / np.linalg.norm(vectors[known], axis=1, keepdims=True)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argpartition(-scores, 10, axis=1)[:, :10]
    return {"group purity @10": (groups[known][nearest] == groups[known][:, None]).mean(1)}


def hit_rates(vectors: np.ndarray, task: RetrievalTask) -> dict[str, np.ndarray]:
    """(users,) whether one of 50 is right, by inner product and by cosine."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return {
        f"HitRate@50, {measure}": measure_hits(retrieve(table, task), task).hit
        for measure, table in (("inner", vectors), ("cosine", unit))
    }


def planted(playlists: int, length: int, members: int) -> tuple[Playlists, np.ndarray]:
    """Playlists of one group each, a few strangers among them, and the groups of the tracks.

    A group's tracks are as popular as words are: the k-th by about 1 / k.
    """
    rng = np.random.default_rng(0)
    of_list = rng.integers(0, GROUPS, (playlists, 1))
    of_list = np.where(
        rng.random((playlists, length)) < 0.3, rng.integers(0, GROUPS, (playlists, length)), of_list
    )
    weights = 1 / np.arange(1, members + 1)
    rank = rng.choice(members, (playlists, length), p=weights / weights.sum())
    flat = (rank * GROUPS + of_list).astype(np.int32).ravel()
    offsets = np.arange(playlists + 1, dtype=np.int64) * length
    ids = [str(k) for k in range(playlists)]
    return Playlists(flat, offsets, ids), np.arange(members * GROUPS) % GROUPS


def compare_planted(options: argparse.Namespace) -> None:
    """Playlists with groups that are known."""
    playlists, groups = planted(options.playlists, 50, 100)
    compare("planted groups", playlists, len(groups), lambda v: purity(v, groups), options)


def compare_movielens(options: argparse.Namespace) -> None:
    """ml-latest-small, by the paper's sessions and its task."""
    if not FOLDER.exists():
        print(f"\n{FOLDER}: not there, left out")
        return
    data = read_movielens(FOLDER)
    sessions = make_sessions(data.events, SessionSettings())
    train, task = next_session_task(sessions.playlists, sessions.owners)
    compare(
        f"ml-latest-small, {len(task)} users asked", train, len(data.catalogue),
        lambda v: hit_rates(v, task), options,
    )  # fmt: skip


CORPORA = {"planted": compare_planted, "movielens": compare_movielens}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpora", nargs="*", choices=[[], *CORPORA], metavar="CORPUS")
    parser.add_argument("--playlists", type=int, default=4000, help="of 50 tracks, planted")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="each with a seed of its own")
    parser.add_argument("--shrink", action="store_true", help="windows of random width")
    options = parser.parse_args()
    train_skipgram(planted(2, 50, 1)[0], GROUPS, SkipGramSettings(epochs=1))  # compile
    for name in options.corpora or CORPORA:
        CORPORA[name](options)


if __name__ == "__main__":
    main()
