"""Skip-gram against gensim's Word2Vec: `python tools/benchmark_skipgram.py`.

Same playlists, dimensions, window, negatives, passes and cores, taking turns. Prints the speed and
the quality of both: on playlists with planted groups, the share of the ten nearest tracks that are
of a track's group.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace

import numpy as np
from gensim.models import Word2Vec
from timing import aim, table

from ssl_audio.io.parallel import available_processors
from ssl_audio.recommenders.baselines.sgns import SgnsSettings, sgns_vectors
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.evaluation.significance import interval
from ssl_audio.recommenders.models.skipgram import NOISE_POWER
from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import Group, setting

GROUPS, LENGTH, MEMBERS = 100, 50, 100


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings(Group):
    playlists: int = setting(4000, help="playlists to train on", min=1)
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
    vectors = sgns_vectors(playlists, tracks, settings, workers)[0]
    return vectors, time.perf_counter() - started


def planted(playlists: int) -> tuple[Playlists, np.ndarray]:
    """Playlists of one group each, with 30 % of the tracks from any group, and the tracks' groups.

    The k-th track of a group is drawn with probability proportional to 1 / k.
    """
    rng = np.random.default_rng(0)
    shape = (playlists, LENGTH)
    own = rng.integers(0, GROUPS, (playlists, 1))
    group = np.where(rng.random(shape) < 0.3, rng.integers(0, GROUPS, shape), own)
    weights = 1 / np.arange(1, MEMBERS + 1)
    rank = rng.choice(MEMBERS, shape, p=weights / weights.sum())
    flat = (rank * GROUPS + group).astype(np.int32).ravel()
    offsets = np.arange(playlists + 1, dtype=np.int64) * LENGTH
    made = Playlists(flat, offsets, [str(k) for k in range(playlists)])
    return made, np.arange(MEMBERS * GROUPS) % GROUPS


def purity(vectors: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(tracks with a vector,) share of the ten nearest by cosine that are of a track's group."""
    known = np.flatnonzero(vectors.any(1))
    unit = vectors[known] / np.linalg.norm(vectors[known], axis=1, keepdims=True)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argpartition(-scores, 10, axis=1)[:, :10]
    return (groups[known][nearest] == groups[known][:, None]).mean(1)


COMMAND = Command(
    name="benchmark_skipgram",
    script="python tools/benchmark_skipgram.py",
    summary="Compare skip-gram with gensim's Word2Vec: speed and quality.",
    usage="[KEY=VALUE ...]",
    examples=("epochs=5 workers=1",),
    settings=BenchmarkSettings,
)


def run(options: BenchmarkSettings) -> None:
    """Speed as medians over the repeats, quality as means over them."""
    playlists, groups = planted(options.playlists)
    tracks, settings = len(groups), SgnsSettings(epochs=options.epochs)
    sgns_vectors(playlists.take(np.arange(2)), tracks, SgnsSettings(epochs=1))  # compiles
    candidates = {
        "gensim": (gensim_vectors, options.workers),
        "ssl_audio": (our_vectors, options.workers),
        "ssl_audio, one worker": (our_vectors, 1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    found: dict[str, list[np.ndarray]] = {name: [] for name in candidates}
    for seed in range(options.repeats):
        for name, (train, workers) in candidates.items():
            vectors, taken = train(playlists, tracks, replace(settings, seed=seed), workers)
            seconds[name].append(taken)
            found[name].append(purity(vectors, groups))
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    title = f"skip-gram, {len(playlists)} playlists of {tracks} tracks, {options.workers} workers"
    positions = settings.epochs * len(playlists.tracks)
    rows = table(f"{title}, {available_processors()} cores", medians, positions, "positions")
    aim(rows["ssl_audio"]["ratio"], 3.0, "skip-gram")
    ours, theirs = (np.mean(found[name], axis=0) for name in ("ssl_audio", "gensim"))
    gain = interval(ours - theirs)
    print(f"  group purity @10: {ours.mean():.4f}, of gensim {theirs.mean():.4f}, difference "
          f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})")  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return COMMAND.main(run, arguments)


if __name__ == "__main__":
    sys.exit(main())
