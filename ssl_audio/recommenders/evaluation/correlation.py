"""How playlist co-occurrence goes with sound: MUSIG, Figure 1, right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import sparse

from ssl_audio.recommenders.data.collection import Playlists

PAIRS = 50_000  # at most
FEWEST = 4  # pairs of which Fisher's z has an interval
DRAWN = 3_000  # of them in the picture
CONFIDENT = 1.959964  # standard deviations of a 95 % interval


def co_occurrence_by_sound(
    playlists: Playlists, sound: np.ndarray, present: np.ndarray, seed: int = 0
) -> dict[str, Any] | None:
    """Pearson correlation over random pairs of tracks, each once, its interval by Fisher's z.

    Args:
        playlists: in which pairs may be together.
        sound: (tracks, d) acoustic features; two tracks are as alike as their inner product.
        present: (tracks,) bool, the tracks that have them; those in no playlist are left out.
        seed: of the pairs.

    Returns:
        `similarity` and `co_occurrence` (% of the playlists that hold both) of some pairs, `r`,
        `low`, `high` and `pairs` of all; None where there are fewer than four pairs, or all are
        alike in one of the two.
    """
    counts = np.bincount(playlists.tracks, minlength=len(sound))
    usable = np.flatnonzero(present & (counts > 0))
    if len(usable) * (len(usable) - 1) // 2 < FEWEST:
        return None
    a, b = (usable[side] for side in _pairs(len(usable), seed))
    similarity = np.einsum("pd,pd->p", sound[a], sound[b], dtype=np.float64)
    together = 100 * _together(playlists, len(sound), a, b) / len(playlists)
    if similarity.std() < 1e-12 or together.std() < 1e-12:
        return None
    r = float(np.corrcoef(similarity, together)[0, 1])
    reach = CONFIDENT / math.sqrt(len(a) - 3)
    z = math.atanh(max(-0.999999, min(0.999999, r)))
    return {
        "similarity": similarity[:DRAWN].tolist(),
        "co_occurrence": together[:DRAWN].tolist(),
        "r": r,
        "low": math.tanh(z - reach),
        "high": math.tanh(z + reach),
        "pairs": len(a),
    }


def _pairs(tracks: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(pairs,) and (pairs,) of different tracks, in random order; no pair twice, nor turned round.

    Tracks in a circle: number k is track k mod n and the one that is 1 + k div n further on.
    """
    possible = tracks * (tracks - 1) // 2
    numbers = np.random.default_rng(seed).choice(possible, min(PAIRS, possible), replace=False)
    further, left = np.divmod(numbers, tracks)
    return left, (left + 1 + further) % tracks


def _together(playlists: Playlists, tracks: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(pairs,) playlists that hold both tracks."""
    ones = np.ones(len(playlists.tracks), np.float32)
    held = sparse.csr_array(
        (ones, (playlists.tracks, playlists.owners)), shape=(tracks, len(playlists))
    )
    held.data[:] = 1  # a track that is twice in a playlist is in it
    return np.asarray(held[a].multiply(held[b]).sum(1), np.float64).ravel()
