"""Skip-gram with negative sampling over playlists: M2GRL, section 3.3, equations 1 to 3.

A track is predicted from each track near it. Two forms of one loss:

- `SkipGram` and `SkipGramBatches`: for autograd, where the loss is one task of several. The noise
  is drawn once for a whole batch, so that its scores are one matrix product.
- `train_skipgram`: alone, as word2vec trains it: plain gradient steps with a falling rate, a
  compiled loop, gradients by hand, steps in place. The noise is drawn once for a position.

Sharing the noise changes no expectation: where equation 3 draws k tracks for each of a position's n
pairs, S tracks shared by them count n k / S each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ssl_audio.errors import SslAudioError
from ssl_audio.parallel import available_processors
from ssl_audio.playlists.alias import alias_table
from ssl_audio.playlists.collection import Playlists

SPAN = 64  # consecutive positions that a batch takes together
PARTS = 4  # of the tracks, in the fast trainer: as many workers have something to do
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
        positions, shared, adam_rate, sparse: of the autograd form. Positions in a batch; noise
            tracks shared by them; Adam's rate; sparse gradients, where only rows that a batch
            touches are updated.
        epochs, rate, least_rate, draws: of the fast trainer. Passes; the rate at the start and at
            the end, linear between; noise tracks that a position's pairs share.
    """

    dimension: int = 64
    window: int = 9
    shrink: bool = False
    negatives: int = 10
    power: float = 0.75
    seed: int = 0
    positions: int = 2048
    shared: int = 512
    adam_rate: float = 0.01
    sparse: bool = False
    epochs: int = 10
    rate: float = 0.025
    least_rate: float = 1e-4
    draws: int = 80

    def __post_init__(self) -> None:
        counts = ("dimension", "window", "negatives", "positions", "shared", "epochs", "draws")
        for name in counts:
            if getattr(self, name) < 1:
                raise SslAudioError(f"skip-gram {name}={getattr(self, name)}: 1 or more")


class SkipGramBatch(NamedTuple):
    """Spans of consecutive positions, and noise.

    Attributes:
        centres: (spans, span) tracks that predict.
        contexts: (spans, span + 2 windows) tracks around them: position p predicts p to
            p + 2 windows, itself in the middle.
        wanted: (spans, span, 2 windows + 1), whether that pair is one.
        noise: (shared,) tracks.
        length: () T of equation 1, the positions that are real.
    """

    centres: Tensor
    contexts: Tensor
    wanted: Tensor
    noise: Tensor
    length: Tensor


def noise_distribution(counts: np.ndarray, power: float) -> np.ndarray:
    """(tracks,) float64 probabilities from how often each track occurs."""
    weights = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
    return weights / weights.sum()


class SkipGramBatches:
    """Batches of a number of positions, as a function of the step alone.

    An epoch takes each position once, in spans whose order is drawn by (seed, epoch); nothing is
    lost at the ends of a span.

    Args:
        playlists: node sequences.
        tracks: in the catalogue.
        settings: see there.

    Raises:
        SslAudioError: no position at all.
    """

    def __init__(self, playlists: Playlists, tracks: int, settings: SkipGramSettings) -> None:
        _check(playlists)
        self.tracks = playlists.tracks.astype(np.int64)
        self.owners = playlists.owners
        self.settings = settings
        counts = np.bincount(self.tracks, minlength=tracks)
        self.cumulative = np.cumsum(noise_distribution(counts, settings.power))
        self.spans = -(-len(self.tracks) // SPAN)
        self.spans_a_batch = max(1, settings.positions // SPAN)
        self.steps_an_epoch = -(-self.spans // self.spans_a_batch)
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0))

    def __call__(self, step: int) -> SkipGramBatch:
        """The batch of a step, 0 and up."""
        epoch, within = divmod(step, self.steps_an_epoch)
        spans = self._spans_of(epoch)[within * self.spans_a_batch :][: self.spans_a_batch]
        rng = np.random.default_rng([self.settings.seed, 1, step])
        centres, contexts, wanted, count = self._windows(spans, rng)
        noise = np.searchsorted(self.cumulative, rng.random(self.settings.shared), "right")
        noise = np.minimum(noise, len(self.cumulative) - 1)
        arrays = (centres, contexts, wanted, noise, np.float32(count))
        return SkipGramBatch(*map(torch.as_tensor, arrays))

    def _spans_of(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            rng = np.random.default_rng([self.settings.seed, 0, epoch])
            self._order = (epoch, rng.permutation(self.spans))
        return self._order[1]

    def _windows(
        self, spans: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        window = self.settings.window
        around = spans[:, None] * SPAN + np.arange(-window, SPAN + window)
        inside = (around >= 0) & (around < len(self.tracks))
        around = np.clip(around, 0, len(self.tracks) - 1)
        owners = np.where(inside, self.owners[around], -1)
        views = np.lib.stride_tricks.sliding_window_view(owners, 2 * window + 1, axis=1)
        middle = views[:, :, window]
        distance = np.abs(np.arange(-window, window + 1))
        reach = rng.integers(1, window + 1, middle.shape) if self.settings.shrink else window
        near = (distance > 0) & (distance <= np.asarray(reach)[..., None])
        wanted = (views == middle[:, :, None]) & (middle >= 0)[:, :, None] & near
        tracks = self.tracks[around]
        return tracks[:, window:-window], tracks, wanted, int((middle >= 0).sum())


class SkipGram(nn.Module):
    """Two tables of vectors: as what predicts (`input`), and as what is predicted (`output`).

    They start as gensim's word2vec does: uniform within 1 / dimension of 0, and 0.

    Args:
        tracks: in the catalogue.
        settings: see there.
    """

    def __init__(self, tracks: int, settings: SkipGramSettings) -> None:
        super().__init__()
        self.settings = settings
        self.input = nn.Embedding(tracks, settings.dimension, sparse=settings.sparse)
        self.output = nn.Embedding(tracks, settings.dimension, sparse=settings.sparse)
        with torch.no_grad():
            self.input.weight.copy_(torch.from_numpy(_first_vectors(tracks, settings)))
            self.output.weight.zero_()

    def loss(self, batch: SkipGramBatch) -> dict[str, Tensor]:
        """Equation 1 with equation 3 in place of log p, negated.

        Returns:
            `total`: a mean over positions, of sums over their pairs; `pair`: a mean over pairs.
        """
        centres = self.input(batch.centres)
        scores = centres @ self.output(batch.contexts).mT
        pairs = batch.wanted.sum(-1)
        share = self.settings.negatives / len(batch.noise) * pairs
        noise = logsigmoid(-centres @ self.output(batch.noise).T).sum(-1)
        near = (logsigmoid(_band(scores)) * batch.wanted).sum()
        total = -(near + (share * noise).sum())
        return {
            "total": total / batch.length,
            "pair": (total / pairs.sum().clamp(min=1)).detach(),
        }

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam, or SparseAdam where gradients are sparse."""
        kind = torch.optim.SparseAdam if self.settings.sparse else torch.optim.Adam
        return [kind(list(self.parameters()), lr=self.settings.adam_rate)]

    def vectors(self) -> np.ndarray:
        """(tracks, dimension) float32: the input table."""
        return self.input.weight.detach().cpu().numpy()


def _band(scores: Tensor) -> Tensor:
    """(spans, p, p + w - 1) to (spans, p, w): from row p, columns p to p + w - 1."""
    spans, rows, columns = scores.shape
    size = (spans, rows, columns - rows + 1)
    return scores.contiguous().as_strided(size, (rows * columns, columns + 1, 1))


def train_skipgram(
    playlists: Playlists,
    tracks: int,
    settings: SkipGramSettings,
    workers: int | None = None,
) -> np.ndarray:
    """Train alone, fast.

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
    _check(playlists)
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


def _check(playlists: Playlists) -> None:
    if not len(playlists.tracks):
        raise SslAudioError("skip-gram: no track in any playlist; give other playlists or rules")


@cache
def _kernel() -> Any:
    """The compiled loops; compiling takes a second or two, once in a process."""
    try:
        from numba import njit
    except ImportError as error:
        raise SslAudioError(
            "the fast skip-gram needs numba: pip install 'ssl_audio[playlists]'"
        ) from error

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
