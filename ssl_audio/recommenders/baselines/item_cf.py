"""Item-item collaborative filtering: tracks by how often they share playlists with the seeds.

Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms"; what M2GRL,
section 5.2, calls Item-CF.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numba import njit
from scipy import sparse

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.csr import kept_offsets, offsets_of, owners_of

PRODUCTS = 50_000_000  # of pairs of positions, computed at a time


class ItemCF:
    """The most similar tracks of each track, from training playlists.

    The similarity of tracks i and j is `n_ij / sqrt(n_i n_j)`, where n counts the playlists that
    hold a track, or both: the cosine of two columns of the playlist-track matrix of zeros and ones.
    A track counts once in a playlist.

    Args:
        playlists: to learn from.
        tracks: in the catalogue.
        neighbours: kept of each track, the most similar; ties fall to the lower row.

    Raises:
        SslAudioError: neighbours below 1.
    """

    def __init__(self, playlists: Playlists, tracks: int, neighbours: int = 200) -> None:
        if neighbours < 1:
            raise SslAudioError(f"neighbours={neighbours}: 1 or more")
        sets = playlists.distinct(tracks)
        ones = np.ones(len(sets.tracks), np.float32)
        held = sparse.csr_array((ones, sets.tracks, sets.offsets), (len(sets), tracks))
        counts = np.maximum(np.asarray(held.sum(axis=0)).ravel(), 1)
        self.similarity = _similarity(held, np.sqrt(counts), neighbours)

    def scores(self, seeds: Playlists, chunk: int = 1024) -> Iterator[sparse.csr_array]:
        """Scores of all tracks for each list of seeds, some lists at a time, in order.

        A track's score is the sum of its similarities to the seeds; a seed given twice counts
        twice. Seeds may have scores as well: who recommends leaves them out.

        Args:
            seeds: the tracks that stand for each list.
            chunk: lists at a time.

        Yields:
            (at most chunk, tracks) float32, 0 where a track is no neighbour of a seed.
        """
        for start in range(0, len(seeds), chunk):
            part = seeds.take(np.arange(start, min(start + chunk, len(seeds))))
            given = np.ones(len(part.tracks), np.float32)
            shape = (len(part), self.similarity.shape[0])
            # csr adds up entries of the same place when it multiplies
            yield sparse.csr_array((given, part.tracks, part.offsets), shape) @ self.similarity


def _similarity(held: sparse.csr_array, roots: np.ndarray, neighbours: int) -> sparse.csr_array:
    """(tracks, tracks) float32: row i holds the neighbours of i with their similarities.

    Made of some rows of the product at a time, so that the whole product is never in memory.
    """
    by_track = held.T.tocsr()
    work = offsets_of((by_track @ np.diff(held.indptr).astype(np.float64)).astype(np.int64))
    parts, start = [], 0
    while start < len(roots):
        end = int(np.searchsorted(work, work[start] + PRODUCTS, side="right")) - 1
        end = min(max(end, start + 1), len(roots))
        parts.append(_nearest(by_track[start:end] @ held, start, roots, neighbours))
        start = end
    return sparse.vstack(parts, format="csr")


def _nearest(
    together: sparse.csr_array, start: int, roots: np.ndarray, neighbours: int
) -> sparse.csr_array:
    """The most similar of each row of counts (rows, tracks), whose first row is track `start`."""
    together.sort_indices()
    rows = owners_of(together.indptr)
    values = together.data / (roots[rows + start] * roots[together.indices])
    values[together.indices == rows + start] = 0  # a track is no neighbour of itself
    values = values.astype(np.float32)
    # floats of 0 and more are in the order of their bits
    kept = _highest(values.view(np.int32), together.indptr, neighbours)
    offsets = kept_offsets(together.indptr, kept)
    return sparse.csr_array((values[kept], together.indices[kept], offsets), together.shape)


@njit(nogil=True)
def _highest(values: np.ndarray, offsets: np.ndarray, count: int) -> np.ndarray:
    """A mask (values,) of the `count` highest above 0 in each part, the earlier of equals first.

    The lowest that is kept is found by halving the range of values: 31 counts over a part, which
    is quicker than to sort it.
    """
    kept = values > 0
    for part in range(len(offsets) - 1):
        low, high = offsets[part], offsets[part + 1]
        if high - low <= count:
            continue
        least, most = 0, 2**31 - 1
        while least < most:
            middle = (least + most) // 2
            if _above(values, low, high, middle) < count:
                most = middle
            else:
                least = middle + 1
        room = count - _above(values, low, high, least)
        for k in range(low, high):
            if values[k] == least:
                kept[k] = kept[k] and room > 0
                room -= 1
            elif values[k] < least:
                kept[k] = False
    return kept


@njit(nogil=True)
def _above(values: np.ndarray, low: int, high: int, limit: int) -> int:
    total = 0
    for k in range(low, high):
        total += values[k] > limit
    return total
