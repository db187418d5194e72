"""Skip-gram of track vectors, trained as word2vec is: plain SGD with a falling rate, compiled.

The objective is that of `models/skipgram.py`. Negatives are drawn once for a position and shared by
its pairs: where equation 3 draws k for each of n pairs, S shared ones count n k / S each.

The result is the same for any number of threads. Tracks are in four parts, and so pairs are in
sixteen blocks (part of the centre, part of the context). Blocks in different rows and columns share
no vector: four at a time run in parallel without locks (stratified SGD, Gemulla et al. 2011). A
block draws its negatives from the part of its contexts, weighted by that part's share of the noise,
so that the four blocks of a centre together make equation 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from ssl_audio.io.compiled import compiled
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.parallel import available_processors
from ssl_audio.recommenders.baselines.alias import alias_table
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.csr import group_by, offsets_of
from ssl_audio.recommenders.models.skipgram import noise_distribution
from ssl_audio.recommenders.recommender import VectorRecommender
from ssl_audio.recommenders.tables import BY_WEIGHTS, MAIN

PARTS = 4
CHUNK = 1024  # positions after which the blocks take turns; larger chunks learn worse
LIMIT, STEPS_PER_UNIT = 10, 64  # of the sigmoid's table: -10 to 10, error below 3e-6


@dataclass(frozen=True)
class SgnsSettings:
    """How the vectors are trained.

    Attributes:
        dimensions: of a vector.
        window: max distance of centre and context, in positions.
        negatives: k of equation 3.
        epochs: passes over the playlists.
        learning_rate, min_learning_rate: at the start and at the end, linear in between.
        shared_negatives: S, drawn for a position.
        seed: of the initial vectors, the negatives and the order.
    """

    dimensions: int = 64
    window: int = 9
    negatives: int = 10
    epochs: int = 10
    learning_rate: float = 0.025
    min_learning_rate: float = 1e-4
    shared_negatives: int = 80
    seed: int = 0


class SkipGram(VectorRecommender):
    """Skip-gram of items alone, with M2GRL's settings."""

    name = "SGNS, items alone"
    tables = (MAIN, BY_WEIGHTS)

    def train(self, folder: Path) -> np.ndarray:
        chosen = self.settings.m2grl
        return sgns_vectors(self.data.train, self.data.tracks, SgnsSettings(
            dimensions=chosen.dimensions, window=chosen.window, negatives=chosen.negatives,
            epochs=5, seed=self.settings.seed,
        ))  # fmt: skip


def sgns_vectors(
    playlists: Playlists, tracks: int, settings: SgnsSettings, workers: int | None = None
) -> np.ndarray:
    """(2, tracks, dimensions) float32 input and output vectors; 0 for a track in no playlist.

    Args:
        playlists: of training; they are read in a random order.
        tracks: in the catalogue.
        settings: of the training.
        workers: threads, at most four; None: as many as processors.

    Raises:
        SslAudioError: the playlists hold no track.
    """
    if not len(playlists.tracks):
        raise SslAudioError("skip-gram: no track in any playlist")
    order = np.random.default_rng([settings.seed, 2]).permutation(len(playlists))
    corpus = _Corpus(playlists.take(order), tracks, settings)
    inputs = _first_vectors(tracks, settings)
    outputs = np.zeros_like(inputs)
    lanes = min(workers or available_processors(), PARTS)
    steps = settings.epochs * corpus.chunks
    with ThreadPoolExecutor(lanes) as pool:
        run = map if lanes == 1 else pool.map
        for step in range(steps):
            rate = settings.learning_rate * (1 - step / steps)
            rate = max(rate, settings.min_learning_rate)
            _train_chunk(run, lanes, corpus, inputs, outputs, rate, step)
    inputs[corpus.counts == 0] = 0.0
    return np.stack([inputs, outputs])


def _train_chunk(
    run: Callable[..., Iterable[None]],
    lanes: int,
    corpus: _Corpus,
    inputs: np.ndarray,
    outputs: np.ndarray,
    rate: float,
    step: int,
) -> None:
    """All sixteen blocks of a chunk, four at a time, dealt out to the threads."""
    for turn in range(PARTS):
        train = partial(
            _blocks, inputs, outputs, *corpus.arrays, np.float32(rate), step, turn, lanes
        )
        for _ in run(train, range(lanes)):  # all blocks of a turn end before the next turn
            pass


class _Corpus:
    """Playlists in the form of the compiled loop, and the noise of each part.

    Attributes:
        counts: (tracks,) occurrences of each track.
        chunks: in a pass.
        arrays: arguments of `_blocks`, in its order.
    """

    def __init__(self, playlists: Playlists, tracks: int, settings: SgnsSettings) -> None:
        self.counts = np.bincount(playlists.tracks, minlength=tracks)
        self.chunks = -(-len(playlists.tracks) // CHUNK)
        parts = _parts(self.counts)
        part = parts[playlists.tracks]
        # positions by chunk and then by part, and where each part of each chunk starts
        group = np.arange(len(part)) // CHUNK * PARTS + part
        order, bounds = group_by(group, self.chunks * PARTS)
        self.arrays = (
            playlists.tracks.astype(np.int32), part, playlists.owners,
            playlists.offsets.astype(np.int64), order, bounds,
            *_noise(self.counts, parts, settings), settings.window, settings.seed,
        )  # fmt: skip


def _parts(counts: np.ndarray) -> np.ndarray:
    """(tracks,) uint8 parts of about equal numbers of positions: dealt 0 1 2 3 3 2 1 0 by count."""
    deal = np.arange(len(counts)) % (2 * PARTS)
    parts = np.empty(len(counts), np.uint8)
    parts[np.argsort(-counts, kind="stable")] = np.minimum(deal, 2 * PARTS - 1 - deal)
    return parts


def _noise(
    counts: np.ndarray, parts: np.ndarray, settings: SgnsSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, np.ndarray]:
    """Alias tables of the noise of each part, one after the other.

    Returns:
        Tracks, thresholds (of 32 bits) and aliases of the slots; where each part starts; draws from
        a part; and (parts,) the weight of a draw for one pair: negatives x the part's share of the
        noise / draws.
    """
    probability = noise_distribution(counts)
    groups = [np.flatnonzero((parts == part) & (counts > 0)) for part in range(PARTS)]
    tables = [alias_table(probability[group]) for group in groups]
    draws = -(-settings.shared_negatives // PARTS)
    share = np.array([probability[group].sum() for group in groups])
    return (
        np.concatenate(groups).astype(np.int32),
        (np.concatenate([keep for keep, _ in tables]) * 2.0**32).astype(np.uint64),
        np.concatenate([g[a] for g, (_, a) in zip(groups, tables, strict=True)]).astype(np.int32),
        offsets_of(np.array([len(group) for group in groups])),
        draws,
        (settings.negatives * share / draws).astype(np.float32),
    )


def _first_vectors(tracks: int, settings: SgnsSettings) -> np.ndarray:
    rng = np.random.default_rng([settings.seed, 4])
    uniform = rng.random((tracks, settings.dimensions), np.float32)
    return (2 * uniform - 1) / np.float32(settings.dimensions)


# --- compiled loops ------------------------------------------------------------------------------

_AT = np.arange(-LIMIT * STEPS_PER_UNIT, LIMIT * STEPS_PER_UNIT + 2) / STEPS_PER_UNIT
SIGMOIDS = (1 / (1 + np.exp(-_AT))).astype(np.float32)
u64 = np.uint64


@compiled(fastmath=True)
def _random_bits(state: np.ndarray) -> np.uint64:
    """SplitMix64 (Steele et al. 2014): 64 bits, and the next state in place."""
    state[0] += u64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> u64(30))) * u64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> u64(27))) * u64(0x94D049BB133111EB)
    return z ^ (z >> u64(31))


@compiled(fastmath=True)
def update(  # type: ignore[no-untyped-def]
    centre, outputs, targets, contexts, count, noise_weight, rate, scores, change
):
    """One SGD step on a centre, its contexts `targets[:contexts]` and its negatives, in place.

    With s the sigmoid of a score, the gradient of the loss by the score is s - 1 for a context and
    `noise_weight` s for a negative, `targets[contexts:count]`. All scores are computed first.
    `scores` and `change` are buffers.
    """
    dimensions = len(centre)
    for k in range(count):
        row = outputs[targets[k]]
        score = centre[0] * row[0]
        for d in range(1, dimensions):
            score += centre[d] * row[d]
        scores[k] = score
    for k in range(count):
        at = (min(max(scores[k], -LIMIT), LIMIT) + LIMIT) * STEPS_PER_UNIT
        left = int(at)
        sigmoid = SIGMOIDS[left] + (at - left) * (SIGMOIDS[left + 1] - SIGMOIDS[left])
        scores[k] = rate * (1.0 - sigmoid) if k < contexts else -rate * noise_weight * sigmoid
    change[:] = 0.0
    for k in range(count):
        row = outputs[targets[k]]
        step = scores[k]
        for d in range(dimensions):
            change[d] += step * row[d]
            row[d] += step * centre[d]
    for d in range(dimensions):
        centre[d] += change[d]


@compiled(fastmath=True)
def _block(  # type: ignore[no-untyped-def]
    inputs, outputs, tracks, part, owners, offsets, positions, context_part, members, threshold,
    alias, draws, weight, window, state, rate,
):  # fmt: skip
    """Steps on positions of one part, with contexts and negatives of another."""
    targets = np.empty(2 * window + draws, np.int32)
    scores = np.empty(2 * window + draws, inputs.dtype)
    change = np.empty(inputs.shape[1], inputs.dtype)
    low = u64(0xFFFFFFFF)
    for p in positions:
        first = max(offsets[owners[p]], p - window)
        last = min(offsets[owners[p] + 1], p + window + 1)
        contexts = 0
        for q in range(first, last):
            targets[contexts] = tracks[q]
            contexts += (part[q] == context_part) & (q != p)
        count = contexts
        pairs = last - first - 1
        if pairs > 0 and len(members) > 0:
            for _ in range(draws):
                bits = _random_bits(state)
                k = int(((bits >> u64(32)) * u64(len(members))) >> u64(32))
                targets[count] = members[k] if (bits & low) < threshold[k] else alias[k]
                count += 1
        update(
            inputs[tracks[p]], outputs, targets, contexts, count, weight * np.float32(pairs),
            rate, scores, change,
        )  # fmt: skip


@compiled(fastmath=True)
def _blocks(  # type: ignore[no-untyped-def]
    inputs, outputs, tracks, part, owners, offsets, order, bounds, members, threshold, alias,
    starts, draws, weights, window, seed, rate, step, turn, lanes, first,
):  # fmt: skip
    """A thread's blocks of a turn: those of the centre parts first, first + lanes, ..."""
    chunks = (len(bounds) - 1) // PARTS
    state = np.empty(1, np.uint64)
    for own in range(first, PARTS, lanes):
        context = (own + turn) % PARTS
        state[0] = u64(seed)
        state[0] = _random_bits(state) ^ u64((step * PARTS + own) * PARTS + context)
        state[0] = _random_bits(state)
        group = step % chunks * PARTS + own
        a, b = starts[context], starts[context + 1]
        _block(
            inputs, outputs, tracks, part, owners, offsets,
            order[bounds[group] : bounds[group + 1]], context, members[a:b], threshold[a:b],
            alias[a:b], draws, weights[context], window, state, rate,
        )  # fmt: skip
