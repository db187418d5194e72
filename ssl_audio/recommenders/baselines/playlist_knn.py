"""Playlist kNN: tracks of the training playlists that are most similar to the history.

Bonnin and Jannach 2014, "Automated generation of music playlists: survey and experiments", section
4.2; Kelen et al. 2018 used it in the RecSys Challenge. With the k training playlists p of the
highest cosine to the history h, both as binary vectors over the tracks,

    score(t) = sum over p that hold t of cos(h, p).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.scorers import AllTracks


class PlaylistKNN(AllTracks):
    """The training playlists, as a memory.

    Args:
        playlists: of training; a track counts once in a playlist.
        tracks: in the catalogue.
        neighbours: k; of equally similar playlists, the earlier ones.
    """

    def __init__(self, playlists: Playlists, tracks: int, neighbours: int = 500) -> None:
        self.held = playlists.distinct(tracks).matrix(tracks)
        self.lengths = np.maximum(np.diff(self.held.indptr), 1).astype(np.float32)
        self.neighbours = neighbours

    def scores(self, histories: Playlists) -> np.ndarray:
        given = histories.distinct(self.held.shape[1]).matrix(self.held.shape[1])
        shared = given @ self.held.T.tocsr()
        shared.sort_indices()
        # the length of the history is the same for all playlists: without it, the order is kept
        shared.data = shared.data / np.sqrt(self.lengths[shared.indices])
        for low, high in pairwise(shared.indptr.tolist()):
            order = np.argsort(-shared.data[low:high], kind="stable")
            shared.data[low + order[self.neighbours :]] = 0
        return (shared @ self.held).toarray()
