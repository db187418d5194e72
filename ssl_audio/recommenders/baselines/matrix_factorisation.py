"""Matrix factorisation of playlists and tracks with the WARP loss.

Weston, Bengio and Usunier 2011, "WSABIE", section 3; the learning rates (Adagrad) and the biases
are those of LightFM (Kula 2015), whose `warp` loss this is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.csr_compiled import find_sorted

STEEPEST = 10.0  # largest weight of a violation, as LightFM's


@dataclass(frozen=True)
class Factors:
    """A playlist's score of a track is `playlists[p] @ tracks[t] + biases[t]`.

    Attributes:
        tracks: (tracks, dimensions) float32; zero for a track that is in no playlist.
        playlists: (playlists, dimensions) float32.
        biases: (tracks,) float32, mostly popularity.
    """

    tracks: np.ndarray
    playlists: np.ndarray
    biases: np.ndarray


def warp_factors(
    playlists: Playlists,
    tracks: int,
    dimensions: int = 64,
    epochs: int = 10,
    learning_rate: float = 0.05,
    trials: int = 10,
    seed: int = 0,
) -> Factors:
    """Factors from the tracks of playlists; a track counts once in a playlist, its place does not.

    Negatives are drawn from the tracks that are in some playlist: the others have no vector.

    Args:
        playlists: to train on.
        tracks: in the catalogue.
        dimensions: of a vector.
        epochs: passes over the positions.
        learning_rate: of Adagrad, at the first step.
        trials: negatives drawn for a position before it is taken as well ranked.
        seed: of the order, the first vectors and the negatives.

    Raises:
        SslAudioError: no playlist holds a track, or a setting below 1.
    """
    if min(dimensions, epochs, trials) < 1:
        raise SslAudioError(
            f"dimensions={dimensions} epochs={epochs} trials={trials}: each 1 or more"
        )
    if not len(playlists.tracks):
        raise SslAudioError("no track to learn from: give playlists that are not empty")
    sets = playlists.distinct(tracks)
    owners, positives, offsets = sets.owners, sets.tracks, sets.offsets
    seen = np.unique(positives)
    rng = np.random.default_rng((seed, 0))
    # one column more than the vectors': a track's holds its bias, a playlist's is held at 1
    left = _first_vectors(rng, len(playlists), dimensions)
    left[:, -1] = 1
    right = _first_vectors(rng, tracks, dimensions)
    right[:, -1] = 0
    left_squares, right_squares = np.ones_like(left), np.ones_like(right)
    for epoch in range(epochs):
        rng = np.random.default_rng((seed, epoch + 1))
        order = rng.permutation(len(positives))
        warp_epoch(
            owners, positives, offsets, seen, order, left, right, left_squares, right_squares,
            learning_rate, trials, rng,
        )  # fmt: skip
    right[np.bincount(positives, minlength=tracks) == 0] = 0
    return Factors(right[:, :-1].copy(), left[:, :-1].copy(), right[:, -1].copy())


def _first_vectors(rng: np.random.Generator, rows: int, dimensions: int) -> np.ndarray:
    return (rng.random((rows, dimensions + 1), np.float32) - 0.5) / dimensions


@njit(nogil=True)
def rank_weight(trials: int, items: int) -> float:
    """The weight of a violation that was found at the n-th trial, 1 or more, of `items` tracks.

    The rank of the positive is put at floor((items - 1) / trials) (WSABIE, section 3.2) and its
    loss at the logarithm, which is what the sum of 1 / k up to it grows as; 0 to 10.
    """
    return min(math.log(max(1.0, (items - 1) // trials)), STEEPEST)


@njit(nogil=True, fastmath=True)
def warp_update(
    left: np.ndarray,
    better: np.ndarray,
    worse: np.ndarray,
    left_squares: np.ndarray,
    better_squares: np.ndarray,
    worse_squares: np.ndarray,
    weight: float,
    rate: float,
) -> None:
    """One Adagrad step on `weight * (1 - left @ better + left @ worse)`, in place.

    All are (dimensions + 1,); the last of `left` is held, since it only carries the biases.
    Each value steps by rate / sqrt(sum of its squared gradients before, plus 1).
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


@njit(nogil=True, fastmath=True)
def _score(left: np.ndarray, right: np.ndarray) -> float:
    total = left[0] * right[0]
    for k in range(1, len(left)):
        total += left[k] * right[k]
    return total


@njit(nogil=True)
def warp_epoch(
    owners: np.ndarray,
    positives: np.ndarray,
    offsets: np.ndarray,
    seen: np.ndarray,
    order: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    left_squares: np.ndarray,
    right_squares: np.ndarray,
    rate: float,
    trials: int,
    rng: np.random.Generator,
) -> None:
    """A pass over the (owner, positive) pairs in an order, changing vectors and squares in place.

    For each, tracks are drawn until one that the playlist does not hold scores less than 1 below
    the positive; a draw of one that it holds counts as a trial.
    """
    for number in range(len(order)):
        owner, positive = owners[order[number]], positives[order[number]]
        own = left[owner]
        score = _score(own, right[positive])
        for trial in range(1, trials + 1):
            track = seen[int(rng.random() * len(seen))]
            if _score(own, right[track]) <= score - 1:
                continue
            if find_sorted(positives, offsets[owner], offsets[owner + 1], track) >= 0:
                continue
            warp_update(
                own, right[positive], right[track],
                left_squares[owner], right_squares[positive], right_squares[track],
                rank_weight(trial, len(seen)), rate,
            )  # fmt: skip
            break
