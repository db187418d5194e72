"""Skip-gram against gensim's Word2Vec: `python tools/benchmark_skipgram.py`.

Same playlists, dimensions, window, negatives, passes and cores, taking turns. Prints the speed of
both and the quality of both: on playlists with planted groups, the share of the ten nearest tracks
that are of a track's group; on MovieLens, HitRate@50 of the next session.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from gensim.models import Word2Vec
from timing import aim, table

from ssl_audio.io.parallel import available_processors
from ssl_audio.recommenders.baselines.sgns import SgnsSettings, sgns_vectors
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.movielens import read_movielens
from ssl_audio.recommenders.data.sessions import make_sessions
from ssl_audio.recommenders.evaluation.ranking import ranked
from ssl_audio.recommenders.evaluation.sessions import hit_figures, next_session_task
from ssl_audio.recommenders.evaluation.significance import interval
from ssl_audio.recommenders.models.skipgram import NOISE_POWER
from ssl_audio.recommenders.scorers import InnerProduct
from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import Group, setting
from ssl_audio.settings.recommend import SessionSettings

GROUPS, LENGTH, MEMBERS = 100, 50, 100
Quality = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings(Group):
    corpora: tuple[Literal["planted", "movielens"], ...] = setting(
        (), help="playlists to train on; default: both"
    )
    movielens: Path = setting(
        Path(__file__).resolve().parents[2] / "shared" / "movielens", help="MovieLens folder"
    )
    playlists: int = setting(4000, help="playlists of planted", min=1)
    epochs: int = setting(10, help="passes over the playlists", min=1)
    workers: int = setting(2, help="threads of both", min=1)
    repeats: int = setting(3, help="repeats, each with its own seed", min=1)


def gensim_vectors(
    playlists: Playlists, tracks: int, settings: SgnsSettings, workers: int
) -> tuple[np.ndarray, float]:
    """Vectors (tracks, dimensions), zeros where gensim has none, and seconds of training alone."""
    words = [str(k) for k in range(tracks)]
    corpus = [[words[t] for t in playlists[k].tolist()] for k in range(len(playlists))]
    model = Word2Vec(
        vector_size=settings.dimensions, window=settings.window, negative=settings.negatives,
        ns_exponent=NOISE_POWER, shrink_windows=False, alpha=settings.learning_rate,
        min_alpha=settings.min_learning_rate, seed=settings.seed + 1, workers=workers,
        sg=1, sample=0, min_count=1,
    )  # fmt: skip
    model.build_vocab(corpus)
    started = time.perf_counter()
    model.train(corpus, total_examples=len(corpus), epochs=settings.epochs)
    seconds = time.perf_counter() - started
    vectors = np.zeros((tracks, settings.dimensions), np.float32)
    vectors[[int(word) for word in model.wv.index_to_key]] = model.wv.vectors
    return vectors, seconds


def our_vectors(
    playlists: Playlists, tracks: int, settings: SgnsSettings, workers: int
) -> tuple[np.ndarray, float]:
    """The same by this package; seconds of everything."""
    started = time.perf_counter()
    vectors = sgns_vectors(playlists, tracks, settings, workers)
    return vectors, time.perf_counter() - started


def compare(
    title: str, playlists: Playlists, tracks: int, quality: Quality, options: BenchmarkSettings
) -> None:
    """Speed as medians over the repeats, quality as means over them."""
    settings = SgnsSettings(epochs=options.epochs)
    sgns_vectors(playlists.take(np.arange(2)), tracks, SgnsSettings(epochs=1))  # compiles
    candidates = {
        "gensim": (gensim_vectors, options.workers),
        "ssl_audio": (our_vectors, options.workers),
        "ssl_audio, one worker": (our_vectors, 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    found: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in candidates}
    for seed in range(options.repeats):
        for name, (train, workers) in candidates.items():
            vectors, taken = train(playlists, tracks, replace(settings, seed=seed), workers)
            seconds[name].append(taken)
            found[name].append(quality(vectors))
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    title = f"{title}: {len(playlists)} playlists of {tracks} tracks, {options.workers} workers"
    positions = settings.epochs * len(playlists.tracks)
    rows = table(f"{title}, {available_processors()} cores", medians, positions, "positions")
    aim(rows["ssl_audio"]["ratio"], 3.0, "skip-gram")
    for figure in found["gensim"][0]:
        ours, theirs = (
            np.mean([one[figure] for one in found[way]], axis=0) for way in ("ssl_audio", "gensim")
        )
        gain = interval(ours - theirs)
        print(f"  {figure:<24} ssl_audio {ours.mean():.4f}, gensim {theirs.mean():.4f}, "
              f"difference {gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})")  # fmt: skip


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def compare_planted(options: BenchmarkSettings) -> None:
    """Playlists of one group each, with 30 % of the tracks from any group.

    The k-th track of a group is drawn with probability proportional to 1 / k.
    """
    rng = np.random.default_rng(0)
    shape = (options.playlists, LENGTH)
    own = rng.integers(0, GROUPS, (options.playlists, 1))
    group = np.where(rng.random(shape) < 0.3, rng.integers(0, GROUPS, shape), own)
    weights = 1 / np.arange(1, MEMBERS + 1)
    rank = rng.choice(MEMBERS, shape, p=weights / weights.sum())
    flat = (rank * GROUPS + group).astype(np.int32).ravel()
    offsets = np.arange(options.playlists + 1, dtype=np.int64) * LENGTH
    playlists = Playlists(flat, offsets, [str(k) for k in range(options.playlists)])
    groups = np.arange(MEMBERS * GROUPS) % GROUPS

    def purity(vectors: np.ndarray) -> dict[str, np.ndarray]:
        known = np.flatnonzero(vectors.any(1))
        unit = unit_rows(vectors[known])
        scores = unit @ unit.T
        np.fill_diagonal(scores, -np.inf)
        nearest = np.argpartition(-scores, 10, axis=1)[:, :10]
        return {"group purity @10": (groups[known][nearest] == groups[known][:, None]).mean(1)}

    compare("planted groups", playlists, len(groups), purity, options)


def compare_movielens(options: BenchmarkSettings) -> None:
    """The sessions of MovieLens and their task, by the paper's rules."""
    data = read_movielens(options.movielens)
    sessions = make_sessions(data.events, SessionSettings())
    train, task = next_session_task(sessions.playlists, sessions.owners)

    def hit_rates(vectors: np.ndarray) -> dict[str, np.ndarray]:
        rows, rates = np.arange(len(vectors)), {}
        for name, scored in {"inner product": vectors, "cosine": unit_rows(vectors)}.items():
            found = ranked(InnerProduct(scored).catalogue_scorer(rows), task.seen, rows, 50)
            rates[f"HitRate@50, {name}"] = hit_figures(found, task)["hit_rate"]
        return rates

    compare("MovieLens", train, len(data.catalogue), hit_rates, options)


CORPORA = {"planted": compare_planted, "movielens": compare_movielens}
COMMAND = Command(
    name="benchmark_skipgram",
    script="python tools/benchmark_skipgram.py",
    summary="Compare skip-gram with gensim's Word2Vec: speed and quality.",
    usage="[CORPUS ...] [KEY=VALUE ...]",
    examples=("planted epochs=5", "movielens workers=1"),
    settings=BenchmarkSettings,
    positional=("corpora",),
)


def run(settings: BenchmarkSettings) -> None:
    """Compare on the corpora that are named, or on both."""
    for name in settings.corpora or CORPORA:
        CORPORA[name](settings)


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return COMMAND.main(run, arguments)


if __name__ == "__main__":
    sys.exit(main())
