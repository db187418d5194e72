"""Playlist completion: rank a playlist's last tracks above as many random ones, given its first.

MUSIG (Saravanou et al. 2021), sections 4.1 and 4.3. Half of the candidates are relevant, so a
random order has HR = P@k = 0.5. The P@1 of 0.00 to 0.07 in the paper's Table 2 cannot come from the
candidates that its text describes; only its HR is comparable with the one here.
"""

from dataclasses import dataclass

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.pairs import among, first_mentions, pair_keys

CUTOFFS = (1, 5, 10)
MRR_SCALE = 10  # ranks that share a reciprocal rank


@dataclass(frozen=True)
class CompletionTask:
    """One completion query per test playlist.

    Attributes:
        seeds: the first tracks of each playlist.
        candidates: of the same playlists, shuffled: the tracks to find and as many random ones.
        relevant: (positions of candidates,) bool, True for the tracks to find.
    """

    seeds: Playlists
    candidates: Playlists
    relevant: np.ndarray

    def __len__(self) -> int:
        return len(self.candidates)


def completion_task(
    playlists: Playlists,
    tracks: int,
    *,
    seed_share: float = 0.5,
    min_tracks: int = 40,
    max_playlists: int = 10_000,
    seed: int = 0,
    cold: np.ndarray | None = None,
    pool: np.ndarray | None = None,
) -> CompletionTask:
    """Split playlists and draw their random candidates.

    Repeated tracks of a playlist are removed first. Candidates are shuffled once, here, so that a
    stable sort breaks ties in score at random and in the same way for every system.

    Args:
        seed_share: share of a playlist's tracks that are seeds, above 0 and below 1; rounded down,
            with at least one seed and one track to find.
        min_tracks: min distinct tracks of a playlist, 2 or more; shorter ones are left out.
        max_playlists: drawn at random where more are long enough.
        cold: (tracks,) bool, tracks that are in no training playlist. If given, the seeds are the
            first part's warm tracks, and the candidates are the rest's cold tracks and as many
            random cold tracks.
        pool: (tracks,) bool, where random tracks are drawn from; None: anywhere. If the tracks to
            find are all warm, cold ones should be excluded: they are easily recognised as wrong.

    Raises:
        SslAudioError: fewer than two playlists can take part, or too few tracks to draw from.
    """
    rng = np.random.default_rng(seed)
    long = playlists.take(playlists.lengths >= min_tracks)
    long = long.keep(first_mentions(long, tracks))
    long = long.take(long.lengths >= min_tracks)
    seeds, targets = _split(long, seed_share, cold)
    usable = np.flatnonzero((seeds.lengths > 0) & (targets.lengths > 0))
    if len(usable) < 2:
        raise _too_few(playlists, min_tracks, len(long), len(usable))
    chosen = usable
    if len(usable) > max_playlists:
        chosen = np.sort(rng.choice(usable, max_playlists, replace=False))
    allowed = np.ones(tracks, bool) if pool is None else pool
    allowed = allowed if cold is None else allowed & cold
    targets = targets.take(chosen)
    negatives = _negatives(long.take(chosen), targets.lengths, allowed, rng)
    candidates, relevant = _mix(targets, negatives, rng)
    return CompletionTask(seeds.take(chosen), candidates, relevant)


def completion_figures(task: CompletionTask, scores: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics of one system, (playlists,) each, in the order of MUSIG's Table 2.

    Candidates are ranked by score, highest first. With m tracks to find, and r(i) = 1 if the
    candidate of rank i = 1, 2, ... is one of them, else 0 (section 4.3):

    - hr = sum over i <= m of r(i) / m. The paper prints K = (100 - x) / |P|; section 4.1 says that
      K is the number of tracks recommended, which is m.
    - mrr = 1 / m * sum over i of r(i) / ceil(i / 10). The paper prints |R / 10| and refers to
      PinSAGE (Ying et al. 2018, section 4.2), which rounds up.
    - precision@k = sum over i <= k of r(i) / k.
    - ndcg@k = sum over i <= k of r(i) / log2(i + 1), divided by its value for the best order.

    Args:
        task: the queries.
        scores: (positions of candidates,) of any real type.

    Raises:
        SslAudioError: scores that are NaN.
    """
    hits = _hits_by_rank(task, scores)
    starts, lengths = task.candidates.offsets[:-1], task.candidates.lengths
    rank = np.arange(1, len(hits) + 1) - np.repeat(starts, lengths)
    relevant = np.add.reduceat(task.relevant, starts, dtype=np.int64)

    def total(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts)

    gain = hits / np.log2(rank + 1)
    return {
        "hr": total(hits * (rank <= np.repeat(relevant, lengths))) / relevant,
        "mrr": total(hits / np.ceil(rank / MRR_SCALE)) / relevant,
        **{f"precision@{k}": total(hits * (rank <= k)) / k for k in CUTOFFS},
        **{f"ndcg@{k}": total(gain * (rank <= k)) / ideal_gain(relevant, k) for k in CUTOFFS},
    }


def ideal_gain(relevant: np.ndarray, k: int) -> np.ndarray:
    """(rows,) sum over i <= min(k, relevant) of 1 / log2(i + 1): the maximal gain in k ranks.

    `relevant` is (rows,) int, 1 or more.
    """
    best = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
    return best[np.minimum(relevant, k) - 1]


def _hits_by_rank(task: CompletionTask, scores: np.ndarray) -> np.ndarray:
    """(positions,) float64, 1 where the candidate of that rank is relevant."""
    scores = scores.astype(np.float64)  # unsigned integers cannot be negated
    wrong = int(np.isnan(scores).sum())
    if wrong:
        text = f"{wrong} of {len(scores)} scores are NaN: did the training diverge?"
        raise SslAudioError(f"{text} Try a lower learning rate")
    order = np.lexsort((-scores, task.candidates.owners))
    return task.relevant[order].astype(np.float64)


def _too_few(playlists: Playlists, min_tracks: int, long: int, usable: int) -> SslAudioError:
    if usable:
        return SslAudioError(
            "only one test playlist can be completed, and intervals need two: give more playlists, "
            "or lower completion.min_tracks="
        )
    if long:
        return SslAudioError(
            f"none of {long} playlists has both a warm track at its start and a cold one to find: "
            "give another completion.cold="
        )
    longest = int(playlists.lengths.max()) if len(playlists) else 0
    return SslAudioError(
        f"none of {len(playlists)} playlists has {min_tracks} distinct tracks (the longest has "
        f"{longest} positions): lower completion.min_tracks="
    )


def _split(
    playlists: Playlists, share: float, cold: np.ndarray | None
) -> tuple[Playlists, Playlists]:
    """The seeds and the tracks to find."""
    lengths = playlists.lengths
    seeds = np.floor(share * lengths + 1e-9).astype(np.int64)  # 0.29 * 100 is below 29
    seeds = np.clip(seeds, 1, lengths - 1)
    first = playlists.places < np.repeat(seeds, lengths)
    if cold is None:
        return playlists.keep(first), playlists.keep(~first)
    is_cold = cold[playlists.tracks]
    return playlists.keep(first & ~is_cold), playlists.keep(~first & is_cold)


def _negatives(
    playlists: Playlists, counts: np.ndarray, pool: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(sum of counts,) random tracks, distinct and not in the playlist, playlist by playlist.

    Uniform: tracks are drawn with replacement, and drawn again where they are in the playlist or
    were drawn before.
    """
    tracks, rows = len(pool), np.flatnonzero(pool)
    own = np.bincount(playlists.owners[pool[playlists.tracks]], minlength=len(playlists))
    short = np.flatnonzero(len(rows) - own < counts)
    if len(short):
        worst = int(short[0])
        raise SslAudioError(
            f"playlist {playlists.ids[worst]} needs {counts[worst]} random tracks, and there are "
            f"{len(rows) - own[worst]} to draw from: give a larger catalogue, or raise "
            "completion.cold= or completion.seed_share="
        )
    taken, missing, found = np.sort(pair_keys(playlists, tracks)), counts.copy(), []
    while missing.any():
        owners = np.repeat(np.arange(len(playlists)), missing)
        drawn = np.unique(owners * tracks + rows[rng.integers(len(rows), size=len(owners))])
        drawn = drawn[~among(drawn, taken)]
        found.append(drawn)
        missing -= np.bincount(drawn // tracks, minlength=len(playlists))
        taken = np.concatenate([taken, drawn])
        taken = np.sort(taken[missing[taken // tracks] > 0], kind="stable")
    return np.sort(np.concatenate(found)) % tracks


def _mix(
    targets: Playlists, negatives: np.ndarray, rng: np.random.Generator
) -> tuple[Playlists, np.ndarray]:
    """The candidates of each playlist in a random order, and True where they are targets."""
    tracks = np.concatenate([targets.tracks, negatives.astype(np.int32)])
    owners = np.concatenate([targets.owners, targets.owners])
    order = np.lexsort((rng.random(len(tracks)), owners))
    return Playlists(tracks[order], 2 * targets.offsets, targets.ids), order < len(targets.tracks)
