"""Matrix factorisation of playlists and tracks with the WARP loss.

Weston, Bengio and Usunier 2011, "WSABIE", section 3; the learning rates (Adagrad) and biases are
those of LightFM (Kula 2015), whose `warp` loss this is.
"""

import math
from pathlib import Path

import numpy as np

from ssl_audio.io.compiled import compiled
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.recommender import RECENCIES, VectorRecommender
from ssl_audio.settings.baselines import WarpSettings

TRIALS = 10  # negatives tried for a position
MAX_WEIGHT = 10.0  # of a violation, as in LightFM


class Warp(VectorRecommender):
    """Matrix factorisation with the WARP loss; the factors rank tracks, without their biases."""

    name = "CF (WARP)"
    space = {
        "warp.dimensions": (32, 64, 128), "warp.learning_rate": (0.02, 0.05, 0.1),
        "warp.epochs": (5, 10, 20, 40), "recency": RECENCIES,
    }  # fmt: skip

    def train(self, folder: Path) -> np.ndarray:
        chosen, seed = self.settings.warp, self.settings.seed
        return warp_factors(self.data.train, self.data.tracks, chosen, seed)[1][:, :-1]


def warp_factors(
    playlists: Playlists, tracks: int, settings: WarpSettings, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """(playlists, dimensions + 1) and (tracks, dimensions + 1), whose product scores tracks.

    The last column is 1 for playlists, and a track's bias, mostly its popularity. A track counts
    once in a playlist, and its place does not count; one in no playlist has zeros.
    """
    sets = playlists.distinct(tracks)
    seen = np.unique(sets.tracks)
    rng = np.random.default_rng((seed, 0))
    dimensions = settings.dimensions
    left, right = _initial(rng, len(playlists), dimensions), _initial(rng, tracks, dimensions)
    left[:, -1], right[:, -1] = 1, 0
    squares = np.ones_like(left), np.ones_like(right)
    for epoch in range(settings.epochs):
        rng = np.random.default_rng((seed, epoch + 1))
        order = rng.permutation(len(sets.tracks))
        warp_epoch(
            sets.owners, sets.tracks, sets.offsets, seen, order, left, right, *squares,
            settings.learning_rate, TRIALS, rng,
        )  # fmt: skip
    right[np.bincount(sets.tracks, minlength=tracks) == 0] = 0
    return left, right


def _initial(rng: np.random.Generator, rows: int, dimensions: int) -> np.ndarray:
    return (rng.random((rows, dimensions + 1), np.float32) - 0.5) / dimensions


@compiled()
def rank_weight(trials: int, items: int) -> float:
    """Weight of a violation found at the n-th trial, n >= 1, among `items` tracks; 0 to 10.

    The estimated rank of the positive is floor((items - 1) / n) (WSABIE, section 3.2), and its loss
    the logarithm of the rank, as which the sum of 1 / k up to it grows.
    """
    return min(math.log(max(1.0, (items - 1) // trials)), MAX_WEIGHT)


@compiled(fastmath=True)
def warp_update(  # type: ignore[no-untyped-def]
    left, better, worse, left_squares, better_squares, worse_squares, weight, rate
):
    """One Adagrad step on `weight * (1 - left @ better + left @ worse)`, in place.

    All are (dimensions + 1,). The last value of `left` is constant. Each value steps by rate /
    sqrt(1 + sum of its previous squared gradients).
    """
    last = len(left) - 1
    for k in range(len(left)):
        own = left[k]
        slope = weight * own
        gap = weight * (worse[k] - better[k])
        better[k] += rate * slope / math.sqrt(better_squares[k])
        worse[k] -= rate * slope / math.sqrt(worse_squares[k])
        better_squares[k] += slope * slope
        worse_squares[k] += slope * slope
        if k < last:
            left[k] -= rate * gap / math.sqrt(left_squares[k])
            left_squares[k] += gap * gap


@compiled(fastmath=True)
def _score(left: np.ndarray, right: np.ndarray) -> float:
    total = left[0] * right[0]
    for k in range(1, len(left)):
        total += left[k] * right[k]
    return total


@compiled()
def warp_epoch(  # type: ignore[no-untyped-def]
    owners, positives, offsets, seen, order, left, right, left_squares, right_squares, rate,
    trials, rng,
):  # fmt: skip
    """A pass over the (owner, positive) pairs in an order, changing vectors and squares in place.

    For each pair, tracks of `seen` are drawn until one that the playlist does not hold scores more
    than the positive's score minus 1; a draw of one that it holds counts as a trial.
    """
    for number in range(len(order)):
        owner, positive = owners[order[number]], positives[order[number]]
        own = left[owner]
        score = _score(own, right[positive])
        for trial in range(1, trials + 1):
            track = seen[int(rng.random() * len(seen))]
            if _score(own, right[track]) <= score - 1:
                continue
            held = positives[offsets[owner] : offsets[owner + 1]]  # ascending
            place = np.searchsorted(held, track)
            if place < len(held) and held[place] == track:
                continue
            warp_update(
                own, right[positive], right[track],
                left_squares[owner], right_squares[positive], right_squares[track],
                rank_weight(trial, len(seen)), rate,
            )  # fmt: skip
            break
