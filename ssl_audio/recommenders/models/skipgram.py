"""Skip-gram with negative sampling over playlists: M2GRL, section 3.3, equations 1 to 3.

A track is predicted from each track near it. That is trained as word2vec does: plain gradient steps
with a falling rate, a compiled loop, gradients by hand, steps in place. (Where the loss is one task
of several, it is in `m2grl.py`.)

The noise is drawn once for a position. That changes no expectation: where equation 3 draws k tracks
for each of a position's n pairs, S tracks shared by them count n k / S each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.parallel import available_processors
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.models.alias import alias_table

PARTS = 4  # of the tracks: as many workers have something to do
CHUNK = 1024  # positions whose blocks take turns; of many more, each block pulls too far alone
REACH, FINENESS = 10, 64  # of the sigmoid's table: -10 to 10, 64 steps a unit, error below 3e-6


@dataclass(frozen=True)
class SkipGramSettings:
    """What is learnt, and how.

    Attributes:
        dimension: of a vector.
        window: tracks on either side that a track predicts; M2GRL takes 9.
        shrink: a window of 1 to `window` at random for each position, as word2vec does: nearer
            tracks count more.
        negatives: k of equation 3.
        power: noise is drawn by how often a track occurs, to this power.
        seed: of the vectors, the noise and the order.
        epochs: passes.
        rate, least_rate: at the start and at the end, linear between.
        draws: noise tracks that a position's pairs share.
    """

    dimension: int = 64
    window: int = 9
    shrink: bool = False
    negatives: int = 10
    power: float = 0.75
    seed: int = 0
    epochs: int = 10
    rate: float = 0.025
    least_rate: float = 1e-4
    draws: int = 80

    def __post_init__(self) -> None:
        for name in ("dimension", "window", "negatives", "epochs", "draws"):
            if getattr(self, name) < 1:
                raise SslAudioError(f"skip-gram {name}={getattr(self, name)}: 1 or more")


def noise_distribution(counts: np.ndarray, power: float) -> np.ndarray:
    """(tracks,) float64 probabilities from how often each track occurs."""
    weights = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
    return weights / weights.sum()


def initial_vectors(rows: int, dimensions: int, seed: int) -> Tensor:
    """(rows, dimensions) float32, uniform within +-1 / (2 dimensions), as word2vec's."""
    uniform = np.random.default_rng(seed).random((rows, dimensions), np.float32)
    return torch.from_numpy((uniform - 0.5) / dimensions)


def train_skipgram(
    playlists: Playlists,
    tracks: int,
    settings: SkipGramSettings,
    workers: int | None = None,
) -> np.ndarray:
    """Train vectors.

    The result is the same for any number of workers. The tracks are in four parts, and so the pairs
    in sixteen blocks (part of the centre, part of the context); blocks in different rows and
    columns share no vector, so four at a time run side by side, without locks and without races
    (stratified stochastic gradient descent: Gemulla et al. 2011). A block draws its noise from its
    own context part, weighted by that part's share of the noise, so that the four blocks of a
    centre make equation 3.

    Args:
        playlists: node sequences; they are taken in a random order.
        tracks: in the catalogue.
        settings: see there.
        workers: threads, four at most; None: the processors.

    Returns:
        (tracks, dimension) float32; zeros for a track that is in no playlist.

    Raises:
        SslAudioError: no position at all, or numba is missing.
    """
    if not len(playlists.tracks):
        raise SslAudioError("skip-gram: no track in any playlist; give other playlists or rules")
    order = np.random.default_rng([settings.seed, 2]).permutation(len(playlists))
    corpus = _Corpus(playlists.take(order), tracks, settings)
    inputs = _first_vectors(tracks, settings)
    outputs = np.zeros_like(inputs)
    lanes = min(workers or available_processors(), PARTS)
    steps = settings.epochs * corpus.chunks
    with ThreadPoolExecutor(lanes) as pool:
        run = map if lanes == 1 else pool.map
        for step in range(steps):
            rate = max(settings.rate * (1 - step / steps), settings.least_rate)
            _chunk(run, lanes, corpus, inputs, outputs, rate, step)
    inputs[corpus.counts == 0] = 0.0
    return inputs


def _chunk(
    run: Callable[..., Iterable[None]],
    lanes: int,
    corpus: _Corpus,
    inputs: np.ndarray,
    outputs: np.ndarray,
    rate: float,
    step: int,
) -> None:
    """All sixteen blocks of a chunk, four at a time; a worker takes every so many of the four."""
    blocks = _kernel().blocks
    for turn in range(PARTS):

        def lane(first: int, turn: int = turn) -> None:
            blocks(inputs, outputs, *corpus.arrays, np.float32(rate), step, turn, first, lanes)

        for _ in run(lane, range(lanes)):  # the next four wait for these
            pass


class _Corpus:
    """Playlists as the compiled loop reads them, and the noise of each part.

    Attributes:
        counts: (tracks,) how often each occurs.
        chunks: in a pass.
        arrays: what `blocks` takes of this, in its order.
    """

    def __init__(self, playlists: Playlists, tracks: int, settings: SkipGramSettings) -> None:
        self.counts = np.bincount(playlists.tracks, minlength=tracks)
        self.chunks = -(-len(playlists.tracks) // CHUNK)
        parts = _parts(self.counts)
        part = parts[playlists.tracks]
        # positions by chunk and then by part, and where each part of each chunk starts
        group = np.arange(len(part)) // CHUNK * PARTS + part
        bounds = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=self.chunks * PARTS))])
        self.arrays = (
            playlists.tracks.astype(np.int32), part, playlists.owners,
            playlists.offsets.astype(np.int64), np.argsort(group, kind="stable"), bounds,
            *_noise(self.counts, parts, settings), settings.window, settings.shrink, settings.seed,
        )  # fmt: skip


def _parts(counts: np.ndarray) -> np.ndarray:
    """(tracks,) uint8: parts with about as many positions each, dealt out to and fro by count."""
    deal = np.arange(len(counts)) % (2 * PARTS)
    parts = np.empty(len(counts), np.uint8)
    parts[np.argsort(-counts, kind="stable")] = np.minimum(deal, 2 * PARTS - 1 - deal)
    return parts


def _noise(
    counts: np.ndarray, parts: np.ndarray, settings: SkipGramSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, np.ndarray]:
    """The noise of all parts: its tracks, their thresholds and aliases, and where each part starts;
    draws from a part; and (parts,) what a draw counts for one pair: negatives x the part's share of
    the noise / draws.
    """
    probability = noise_distribution(counts, settings.power)
    groups = [np.flatnonzero((parts == part) & (counts > 0)) for part in range(PARTS)]
    tables = [alias_table(probability[group]) for group in groups]
    draws = -(-settings.draws // PARTS)
    share = np.array([probability[group].sum() for group in groups])
    return (
        np.concatenate(groups).astype(np.int32),
        (np.concatenate([keep for keep, _ in tables]) * 2.0**32).astype(np.uint64),  # of 32 bits
        np.concatenate([g[a] for g, (_, a) in zip(groups, tables, strict=True)]).astype(np.int32),
        np.concatenate([[0], np.cumsum([len(group) for group in groups])]),
        draws,
        (settings.negatives * share / draws).astype(np.float32),
    )


def _first_vectors(tracks: int, settings: SkipGramSettings) -> np.ndarray:
    rng = np.random.default_rng([settings.seed, 4])
    uniform = rng.random((tracks, settings.dimension), np.float32)
    return (2 * uniform - 1) / np.float32(settings.dimension)


def _sigmoids() -> np.ndarray:
    at = np.arange(-REACH * FINENESS, REACH * FINENESS + 2) / FINENESS
    return (1 / (1 + np.exp(-at))).astype(np.float32)


@cache
def _kernel() -> Any:
    """The compiled loops; compiling takes a second or two, once in a process."""
    try:
        from numba import njit
    except ImportError as error:
        raise SslAudioError("skip-gram needs numba: pip install 'ssl_audio[playlists]'") from error

    compiled = njit(nogil=True, fastmath=True)
    u64 = np.uint64
    sigmoids = _sigmoids()

    @compiled
    def random_bits(state):  # type: ignore[no-untyped-def]
        """SplitMix64 (Steele et al. 2014): the next state, and 64 bits."""
        state[0] += u64(0x9E3779B97F4A7C15)
        z = state[0]
        z = (z ^ (z >> u64(30))) * u64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> u64(27))) * u64(0x94D049BB133111EB)
        return z ^ (z >> u64(31))

    @compiled
    def update(centre, outputs, targets, near, count, noise, rate, scores, change):  # type: ignore[no-untyped-def]
        """A step on one centre: targets[:near] are its contexts, the rest up to count its noise.

        With s the sigmoid of a score, the gradient of equation 3 by the score is s - 1 for a
        context and s for noise; noise counts `noise`. All scores are of the vectors as they were.
        """
        dimension = len(centre)
        for k in range(count):
            row = outputs[targets[k]]
            score = centre[0] * row[0]
            for d in range(1, dimension):
                score += centre[d] * row[d]
            scores[k] = score
        for k in range(count):
            at = (min(max(scores[k], -REACH), REACH) + REACH) * FINENESS
            left = int(at)
            sigmoid = sigmoids[left] + (at - left) * (sigmoids[left + 1] - sigmoids[left])
            scores[k] = rate * (1.0 - sigmoid) if k < near else -rate * noise * sigmoid
        change[:] = 0.0
        for k in range(count):
            row = outputs[targets[k]]
            step = scores[k]
            for d in range(dimension):
                change[d] += step * row[d]
                row[d] += step * centre[d]
        for d in range(dimension):
            centre[d] += change[d]

    @compiled
    def block(  # type: ignore[no-untyped-def]
        inputs, outputs, tracks, part, owners, offsets, positions, context, members, threshold,
        alias, draws, weight, window, shrink, epoch, state, rate,
    ):  # fmt: skip
        """Steps on positions of one part, towards contexts and noise of another."""
        room = 2 * window + draws
        targets = np.empty(room, np.int32)
        scores = np.empty(room, inputs.dtype)
        change = np.empty(inputs.shape[1], inputs.dtype)
        own = np.empty(1, np.uint64)
        low = u64(0xFFFFFFFF)
        for p in positions:
            reach = window
            if shrink:  # the same in the four blocks of a position
                own[0] = u64(p) ^ (epoch << u64(40))
                reach = 1 + int(((random_bits(own) >> u64(32)) * u64(window)) >> u64(32))
            first = max(offsets[owners[p]], p - reach)
            last = min(offsets[owners[p] + 1], p + reach + 1)
            near = 0
            for q in range(first, last):
                targets[near] = tracks[q]
                near += (part[q] == context) & (q != p)
            count = near
            pairs = last - first - 1
            if pairs > 0 and len(members) > 0:
                for _ in range(draws):
                    bits = random_bits(state)
                    k = int(((bits >> u64(32)) * u64(len(members))) >> u64(32))
                    targets[count] = members[k] if (bits & low) < threshold[k] else alias[k]
                    count += 1
            update(
                inputs[tracks[p]], outputs, targets, near, count, weight * np.float32(pairs),
                rate, scores, change,
            )  # fmt: skip

    @compiled
    def blocks(  # type: ignore[no-untyped-def]
        inputs, outputs, tracks, part, owners, offsets, order, bounds, members, threshold, alias,
        starts, draws, weights, window, shrink, seed, rate, step, turn, first, lanes,
    ):  # fmt: skip
        """A worker's blocks of a turn: of parts first, first + lanes, ..."""
        chunks = (len(bounds) - 1) // PARTS
        state = np.empty(1, np.uint64)
        for own in range(first, PARTS, lanes):
            context = (own + turn) % PARTS
            state[0] = u64(seed)
            state[0] = random_bits(state) ^ u64((step * PARTS + own) * PARTS + context)
            state[0] = random_bits(state)
            group = step % chunks * PARTS + own
            a, b = starts[context], starts[context + 1]
            block(
                inputs, outputs, tracks, part, owners, offsets,
                order[bounds[group] : bounds[group + 1]], context, members[a:b], threshold[a:b],
                alias[a:b], draws, weights[context], window, shrink, u64(step // chunks), state,
                rate,
            )  # fmt: skip

    return SimpleNamespace(update=update, blocks=blocks)
