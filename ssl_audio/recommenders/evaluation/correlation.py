"""Correlation of co-occurrence in playlists with audio similarity: MUSIG, Figure 1, right."""

import numpy as np
from scipy import stats

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.reports.results import CoOccurrence

MAX_PAIRS = 50_000
MIN_PAIRS = 4  # Fisher's interval divides by sqrt(pairs - 3)
MAX_DRAWN = 3_000  # pairs in the figure


def co_occurrence_by_similarity(
    playlists: Playlists, features: np.ndarray, present: np.ndarray, of: str = "", seed: int = 0
) -> CoOccurrence | None:
    """Pearson correlation over random, distinct pairs of tracks; 95 % interval by Fisher's z.

    Args:
        features: (tracks, d); the similarity of two tracks is the inner product of their features.
        present: (tracks,) bool, tracks that have features; those in no playlist are left out.
        of: name of the similarity.

    Returns:
        None where there are fewer than four pairs, or one of the two quantities is constant.
    """
    counts = np.bincount(playlists.tracks, minlength=len(features))
    usable = np.flatnonzero(present & (counts > 0))
    if len(usable) * (len(usable) - 1) // 2 < MIN_PAIRS:
        return None
    a, b = (usable[side] for side in _pairs(len(usable), seed))
    similarity = np.einsum("pd,pd->p", features[a], features[b], dtype=np.float64)
    together = 100 * _together(playlists, len(features), a, b) / len(playlists)
    if similarity.std() < 1e-12 or together.std() < 1e-12:
        return None
    found = stats.pearsonr(similarity, together)
    low, high = found.confidence_interval(0.95)
    return CoOccurrence(
        of=of, r=float(found.statistic), low=float(low), high=float(high), pairs=len(a),
        similarity=tuple(similarity[:MAX_DRAWN].tolist()),
        co_occurrence=tuple(together[:MAX_DRAWN].tolist()),
    )  # fmt: skip


def _pairs(tracks: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(pairs,) and (pairs,) different tracks, in random order; no unordered pair twice.

    With the n tracks in a circle, pair number k is track k mod n and the one 1 + k div n further.
    """
    possible = tracks * (tracks - 1) // 2
    numbers = np.random.default_rng(seed).choice(possible, min(MAX_PAIRS, possible), replace=False)
    further, left = np.divmod(numbers, tracks)
    return left, (left + 1 + further) % tracks


def _together(playlists: Playlists, tracks: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(pairs,) playlists that hold both tracks."""
    held = playlists.held(tracks).T.tocsr()
    return np.asarray(held[a].multiply(held[b]).sum(1), np.float64).ravel()
