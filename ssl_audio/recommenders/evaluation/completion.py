"""Playlist completion: find a playlist's last tracks among as many random ones, from its first.

MUSIG (Saravanou et al. 2021), sections 4.1 and 4.3. A playlist's first x % are its seeds; the rest
is mixed with as many random tracks, and whoever ranks the rest higher does better. Half of the
candidates are right, so a random order has HR = P@k = 0.5: the P@1 of 0.00 to 0.07 of the paper's
Table 2 come from another mix than its text describes, and only its HR compares with the one here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists

CUTOFFS = (1, 5, 10)
MRR_SCALE = 10  # ranks that count alike
BLOCK = 65_536  # candidates scored at a time


@dataclass(frozen=True)
class CompletionTask:
    """What every system is asked.

    Attributes:
        seeds: the first tracks of each playlist.
        candidates: of the same playlists, shuffled: the tracks to find and as many random ones.
        relevant: (positions of candidates,) bool, the tracks to find.
        left_out: playlists that are long enough, but lack a warm seed or a cold track to find.
    """

    seeds: Playlists
    candidates: Playlists
    relevant: np.ndarray
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.candidates)


def completion_task(
    playlists: Playlists,
    tracks: int,
    *,
    seed_share: float = 0.5,
    least: int = 40,
    most: int = 10_000,
    seed: int = 0,
    cold: np.ndarray | None = None,
    pool: np.ndarray | None = None,
) -> CompletionTask:
    """Split playlists and draw their random candidates.

    A track that a playlist repeats counts once, where it comes first. Candidates are shuffled once
    here, so that a stable sort breaks ties in score at random, and alike for every system.

    Args:
        playlists: of the test part.
        tracks: in the catalogue.
        seed_share: of a playlist's tracks that are seeds, above 0 and below 1; rounded down, but a
            track at least, and one at least is left to find.
        least: distinct tracks of a playlist that takes part, 2 or more.
        most: playlists, drawn at random where more are long enough.
        seed: of all that is drawn.
        cold: (tracks,) bool, held out of every training playlist. Then the seeds are the first
            part's warm tracks, and the candidates are the rest's cold tracks and as many random
            cold tracks.
        pool: (tracks,) bool, where random tracks are drawn from; None: anywhere. Without the
            tracks that are held out, no system can tell those from the rest by what it never saw.

    Raises:
        SslAudioError: a setting out of range, no playlist that can take part, or too few tracks
            to draw random ones from.
        ValueError: a mask of another length, or a track outside the catalogue.
    """
    _check(playlists, tracks, seed_share, least, most, (cold, pool))
    rng = np.random.default_rng(seed)
    long = _distinct(playlists.take(playlists.lengths >= least), tracks)
    long = long.take(long.lengths >= least)
    seeds, targets = _split(long, seed_share, cold)
    usable = np.flatnonzero((seeds.lengths > 0) & (targets.lengths > 0))
    if not len(usable):
        raise _nothing_to_do(playlists, least, len(long))
    chosen = usable
    if len(usable) > most:
        chosen = np.sort(rng.choice(usable, most, replace=False))
    allowed = np.ones(tracks, bool) if pool is None else pool
    allowed = allowed if cold is None else allowed & cold
    targets = targets.take(chosen)
    strangers = _strangers(long.take(chosen), targets.lengths, allowed, rng)
    candidates, relevant = _mix(targets, strangers, rng)
    return CompletionTask(seeds.take(chosen), candidates, relevant, len(long) - len(usable))


def scores_by_cosine(vectors: np.ndarray, task: CompletionTask, block: int = BLOCK) -> np.ndarray:
    """(positions of candidates,) float32: cosine of each candidate with the mean of the seeds.

    Section 4.1: the mean is of the vectors as they are, so that longer ones weigh more. A vector
    of zeros (a track that a model does not know) has cosine 0 with everything.

    Args:
        vectors: (tracks, dimensions).
        task: of the same catalogue.
        block: candidates scored at a time; memory is in proportion to it.
    """
    vectors = np.asarray(vectors, np.float32)
    seeds = task.seeds
    weights = np.repeat((1 / np.maximum(seeds.lengths, 1)).astype(np.float32), seeds.lengths)
    averaging = sparse.csr_matrix(
        (weights, seeds.tracks, seeds.offsets), shape=(len(seeds), len(vectors))
    )
    means = _unit(averaging @ vectors)
    lengths = np.sqrt(np.einsum("td,td->t", vectors, vectors))
    inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    tracks, owners = task.candidates.tracks, task.candidates.owners
    scores = np.empty(len(tracks), np.float32)
    for start in range(0, len(tracks), block):
        part = slice(start, start + block)
        rows = tracks[part]
        scores[part] = np.einsum("pd,pd->p", vectors[rows], means[owners[part]]) * inverse[rows]
    return scores


@dataclass(frozen=True)
class CompletionFigures:
    """Figures of one system, 0 to 1, a row for each playlist.

    Attributes:
        hr, mrr: (playlists,).
        precision, ndcg: (playlists,) for each cutoff.
    """

    hr: np.ndarray
    mrr: np.ndarray
    precision: Mapping[int, np.ndarray]
    ndcg: Mapping[int, np.ndarray]

    def columns(self) -> dict[str, np.ndarray]:
        """All of them by name, in the order of the paper's Table 2."""
        return {
            "hr": self.hr,
            "mrr": self.mrr,
            **{f"precision@{k}": values for k, values in self.precision.items()},
            **{f"ndcg@{k}": values for k, values in self.ndcg.items()},
        }

    def means(self) -> dict[str, float]:
        """The row of Table 2."""
        return {name: float(values.mean()) for name, values in self.columns().items()}


def evaluate(task: CompletionTask, scores: np.ndarray) -> CompletionFigures:
    """Rank each playlist's candidates by score, highest first, and compare with what is relevant.

    Of a playlist with m tracks to find, r(i) = 1 where the candidate of rank i = 1, 2, ... is one
    (section 4.3):

    - HR = sum over i <= K of r(i) / m, K = m. The paper prints K = (100 - x) / |P|; meant is the
      number of tracks recommended, which section 4.1 says is (100 - x) % of |P|.
    - MRR = 1 / m * sum over i of r(i) / ceil(i / 10). The paper prints |R / 10| and refers to
      PinSAGE (Ying et al. 2018, section 4.2), which rounds the quotient up, as is done here.
    - P@k = sum over i <= k of r(i) / k.
    - NDCG@k = sum over i <= k of r(i) / log2(i + 1), over the same sum of the best order, that is
      over i <= min(k, m) of 1 / log2(i + 1).

    Args:
        task: what was asked.
        scores: (positions of candidates,) of any real type.

    Raises:
        ValueError: scores of another length.
        SslAudioError: scores that are not numbers.
    """
    hits = _hits_by_rank(task, scores)
    starts, lengths = task.candidates.offsets[:-1], task.candidates.lengths
    rank = np.arange(1, len(hits) + 1) - np.repeat(starts, lengths)
    wanted = np.add.reduceat(task.relevant, starts, dtype=np.int64)

    def total(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts)

    gain = hits / np.log2(rank + 1)
    return CompletionFigures(
        hr=total(hits * (rank <= np.repeat(wanted, lengths))) / wanted,
        mrr=total(hits / np.ceil(rank / MRR_SCALE)) / wanted,
        precision={k: total(hits * (rank <= k)) / k for k in CUTOFFS},
        ndcg={k: total(gain * (rank <= k)) / ideal_gain(wanted, k) for k in CUTOFFS},
    )


def ideal_gain(wanted: np.ndarray, k: int) -> np.ndarray:
    """(rows,) sum over i <= min(k, wanted) of 1 / log2(i + 1): the best that k ranks can gain.

    `wanted` is (rows,) int, 1 or more.
    """
    best = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
    return best[np.minimum(wanted, k) - 1]


def _hits_by_rank(task: CompletionTask, scores: np.ndarray) -> np.ndarray:
    """(positions,) float64, 1 where the candidate of that rank is relevant."""
    if scores.shape != task.relevant.shape:
        raise ValueError(f"scores of {scores.shape} for {task.relevant.shape} candidates")
    scores = scores.astype(np.float64)  # unsigned ones have no negative
    wrong = int(np.isnan(scores).sum())
    if wrong:
        raise SslAudioError(
            f"{wrong} of {len(scores)} scores are not numbers: did the training diverge? "
            "Lower the learning rate"
        )
    order = np.lexsort((-scores, task.candidates.owners))  # stable: ties stay as shuffled
    return task.relevant[order].astype(np.float64)


def _check(
    playlists: Playlists,
    tracks: int,
    seed_share: float,
    least: int,
    most: int,
    masks: tuple[np.ndarray | None, ...],
) -> None:
    if not 0 < seed_share < 1:
        raise SslAudioError(f"seed_share={seed_share}: above 0 and below 1")
    if least < 2:
        raise SslAudioError(f"least={least}: 2 or more, a track to start from and one to find")
    if most < 1:
        raise SslAudioError(f"most={most}: 1 or more")
    if len(playlists.tracks) and not 0 <= playlists.tracks.min() <= playlists.tracks.max() < tracks:
        raise ValueError(f"playlists with tracks outside the catalogue of {tracks}")
    for mask in masks:
        if mask is not None and (mask.shape != (tracks,) or mask.dtype != bool):
            raise ValueError(f"a mask of {mask.shape} {mask.dtype} for {tracks} tracks")


def _nothing_to_do(playlists: Playlists, least: int, long: int) -> SslAudioError:
    if long:
        return SslAudioError(
            f"none of {long} playlists has both a warm track at its start and a cold one to find: "
            "hold out more tracks, or fewer"
        )
    longest = int(playlists.lengths.max()) if len(playlists) else 0
    return SslAudioError(
        f"none of {len(playlists)} playlists has {least} distinct tracks (the longest has "
        f"{longest} positions): lower least="
    )


def _distinct(playlists: Playlists, tracks: int) -> Playlists:
    """Without repeats: the first of each track stays."""
    _, first = np.unique(_keys(playlists, tracks), return_index=True)
    wanted = np.zeros(len(playlists.tracks), bool)
    wanted[first] = True
    return playlists.keep(wanted)


def _keys(playlists: Playlists, tracks: int) -> np.ndarray:
    """(positions,) int64: one number for each pair of playlist and track."""
    return playlists.owners.astype(np.int64) * tracks + playlists.tracks


def _split(
    playlists: Playlists, share: float, cold: np.ndarray | None
) -> tuple[Playlists, Playlists]:
    """The seeds and the tracks to find."""
    lengths = playlists.lengths
    seeds = np.floor(share * lengths + 1e-9).astype(np.int64)  # 0.29 * 100 is below 29
    seeds = np.clip(seeds, 1, lengths - 1)
    within = np.arange(len(playlists.tracks)) - np.repeat(playlists.offsets[:-1], lengths)
    first = within < np.repeat(seeds, lengths)
    if cold is None:
        return playlists.keep(first), playlists.keep(~first)
    is_cold = cold[playlists.tracks]
    return playlists.keep(first & ~is_cold), playlists.keep(~first & is_cold)


def _strangers(
    playlists: Playlists, counts: np.ndarray, pool: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(sum of counts,) distinct random tracks for each playlist, in turn, that are not in it.

    Drawn with replacement, and again for those that are in the playlist or drawn already: so every
    choice is equally likely, and only the last few playlists see more than a handful of rounds.
    """
    tracks, rows = len(pool), np.flatnonzero(pool)
    own = np.bincount(playlists.owners[pool[playlists.tracks]], minlength=len(playlists))
    short = np.flatnonzero(len(rows) - own < counts)
    if len(short):
        worst = int(short[0])
        raise SslAudioError(
            f"playlist {playlists.ids[worst]} needs {counts[worst]} random tracks, and there are "
            f"{len(rows) - own[worst]} to draw from: a larger catalogue, more cold tracks or a "
            "higher seed_share="
        )
    taken, missing, found = np.sort(_keys(playlists, tracks)), counts.copy(), []
    while missing.any():
        owners = np.repeat(np.arange(len(playlists)), missing)
        drawn = np.unique(owners * tracks + rows[rng.integers(len(rows), size=len(owners))])
        drawn = drawn[~_among(drawn, taken)]
        found.append(drawn)
        missing -= np.bincount(drawn // tracks, minlength=len(playlists))
        taken = np.concatenate([taken, drawn])
        taken = np.sort(taken[missing[taken // tracks] > 0], kind="stable")
    return np.sort(np.concatenate(found)) % tracks


def _among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Which values are in a sorted array that is not empty."""
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return ordered[place] == values


def _mix(
    targets: Playlists, strangers: np.ndarray, rng: np.random.Generator
) -> tuple[Playlists, np.ndarray]:
    """The candidates of each playlist in a random order, and which of them are targets."""
    tracks = np.concatenate([targets.tracks, strangers.astype(np.int32)])
    owners = np.concatenate([targets.owners, targets.owners])
    order = np.lexsort((rng.random(len(tracks)), owners))
    relevant = order < len(targets.tracks)
    return Playlists(tracks[order], 2 * targets.offsets, targets.ids), relevant


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Of length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
