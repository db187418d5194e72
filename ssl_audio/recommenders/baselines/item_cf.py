"""Item-item collaborative filtering: the similarity of tracks is how often they share playlists.

Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms"; the Item-CF of
M2GRL, section 5.2.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import sparse

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.csr import kept_offsets, owners_of
from ssl_audio.recommenders.recommender import RECENCIES, AllTracks

MAX_PRODUCTS = 50_000_000  # pairs of positions that are counted at once
Similarity = Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
"""From n_ij, n_i and n_j of pairs of tracks, (pairs,) each, and the number of playlists."""


def cosine(both: np.ndarray, one: np.ndarray, other: np.ndarray, playlists: int) -> np.ndarray:
    """n_ij / sqrt(n_i n_j): the cosine of two columns of the binary playlist-track matrix."""
    return both / np.sqrt(one * other)


class ItemCF(AllTracks):
    """The most similar tracks of each track; a track's score is the sum of its similarities to the
    history's tracks, in which a track that is there twice counts twice."""

    name = "Item-CF"
    random = False
    space = {"item_cf.neighbours": (20, 50, 100, 200, 500, 1000), "recency": RECENCIES}
    measure: Similarity = staticmethod(cosine)
    similarity: sparse.csr_array

    @property
    def neighbours(self) -> int:
        """Most similar tracks that are kept of each track."""
        return self.settings.item_cf.neighbours

    def fit(self, folder: Path) -> None:
        train, tracks = self.data.train, self.data.tracks
        self.similarity = item_similarity(train, tracks, self.neighbours, self.measure)

    def scores(self, histories: Playlists) -> np.ndarray:
        found: np.ndarray = (
            histories.matrix(self.data.tracks, self.recency) @ self.similarity
        ).toarray()
        return found


def item_similarity(
    playlists: Playlists, tracks: int, neighbours: int, measure: Similarity
) -> sparse.csr_array:
    """(tracks, tracks) float32 similarities of each track, in its row, to the most similar ones.

    With n the number of playlists that hold a track, or both tracks, a similarity is a function of
    n_ij, n_i and n_j.

    Args:
        playlists: of training; a track counts once in a playlist.
        neighbours: most similar tracks kept of each track; of equal ones, the lower rows.
        measure: of two tracks; only values above 0 are kept.
    """
    held = playlists.held(tracks)
    counts = np.asarray(held.sum(axis=0), np.float64).ravel()
    by_track = held.T.tocsr()
    products = by_track @ np.diff(held.indptr).astype(np.float64)
    ends = np.concatenate([[0], np.cumsum(products)])
    parts, start = [], 0
    while start < tracks:  # some rows at a time: the whole product may not fit in memory
        end = int(np.searchsorted(ends, ends[start] + MAX_PRODUCTS, side="right")) - 1
        end = min(max(end, start + 1), tracks)
        both = by_track[start:end] @ held
        both.sort_indices()
        rows = owners_of(both.indptr) + start
        one, other = counts[rows], counts[both.indices]
        both.data = measure(both.data.astype(np.float64), one, other, len(playlists))
        both.data[both.indices == rows] = 0  # a track is not its own neighbour
        parts.append(_most_similar(both, neighbours))
        start = end
    return sparse.vstack(parts, format="csr")


def _most_similar(similarity: sparse.csr_array, neighbours: int) -> sparse.csr_array:
    """The highest similarities of each row that are above 0."""
    values = similarity.data.astype(np.float32)
    kept, offsets = values > 0, similarity.indptr
    for row in np.flatnonzero(np.diff(offsets) > neighbours).tolist():
        low, high = offsets[row], offsets[row + 1]
        kept[low + np.argsort(-values[low:high], kind="stable")[neighbours:]] = False
    entries = values[kept], similarity.indices[kept], kept_offsets(offsets, kept)
    return sparse.csr_array(entries, similarity.shape)
