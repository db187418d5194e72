"""Item-item collaborative filtering: the similarity of tracks is how often they share playlists.

Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms"; the Item-CF of
M2GRL, section 5.2.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import sparse

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.csr import kept_offsets, owners_of
from ssl_audio.recommenders.evaluation.ranking import CatalogueScorer

MAX_PRODUCTS = 50_000_000  # pairs of positions that are counted at once


class ItemCF:
    """The most similar tracks of each track.

    With n the number of playlists that hold a track, or both tracks, the similarity of tracks i and
    j is n_ij / sqrt(n_i n_j): the cosine of two columns of the binary playlist-track matrix.

    Args:
        playlists: of training; a track counts once in a playlist.
        tracks: in the catalogue.
        neighbours: most similar tracks kept of each track; of equal ones, the lower rows.
    """

    def __init__(self, playlists: Playlists, tracks: int, neighbours: int = 200) -> None:
        held = _matrix(playlists.distinct(tracks), tracks)
        roots = np.sqrt(np.maximum(np.asarray(held.sum(axis=0)).ravel(), 1))
        by_track = held.T.tocsr()
        products = by_track @ np.diff(held.indptr).astype(np.float64)
        ends = np.concatenate([[0], np.cumsum(products)])
        parts, start = [], 0
        while start < tracks:  # some rows at a time: the whole product may not fit in memory
            end = int(np.searchsorted(ends, ends[start] + MAX_PRODUCTS, side="right")) - 1
            end = min(max(end, start + 1), tracks)
            parts.append(_most_similar(by_track[start:end] @ held, start, roots, neighbours))
            start = end
        self.similarity: sparse.csr_array = sparse.vstack(parts, format="csr")

    def catalogue_scorer(self, rows: np.ndarray) -> CatalogueScorer:
        """A function from histories to scores of rows of the catalogue; see `scores`."""
        return lambda histories: self.scores(histories).toarray()[:, rows]

    def scores(self, histories: Playlists) -> sparse.csr_array:
        """(histories, tracks) float32, the sum of each track's similarities to a history's tracks.

        A track that is in a history twice counts twice.
        """
        return _matrix(histories, self.similarity.shape[0]) @ self.similarity


def _matrix(playlists: Playlists, tracks: int) -> sparse.csr_array:
    """(playlists, tracks) float32, the number of times that a playlist holds a track."""
    ones = np.ones(len(playlists.tracks), np.float32)
    shape = (len(playlists), tracks)
    return sparse.csr_array((ones, playlists.tracks, playlists.offsets), shape)


def _most_similar(
    counts: sparse.csr_array, start: int, roots: np.ndarray, neighbours: int
) -> sparse.csr_array:
    """The highest similarities of each row of common counts, whose first row is track `start`."""
    counts.sort_indices()
    rows = owners_of(counts.indptr)
    values = counts.data / (roots[rows + start] * roots[counts.indices])
    values[counts.indices == rows + start] = 0  # a track is not its own neighbour
    values = values.astype(np.float32)
    kept = np.zeros(len(values), bool)
    for low, high in pairwise(counts.indptr.tolist()):
        kept[low + np.argsort(-values[low:high], kind="stable")[:neighbours]] = True
    kept &= values > 0
    offsets = kept_offsets(counts.indptr, kept)
    return sparse.csr_array((values[kept], counts.indices[kept], offsets), counts.shape)
