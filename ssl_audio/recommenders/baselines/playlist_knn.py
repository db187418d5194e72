"""Playlist kNN: tracks of the training playlists that are most similar to the history.

Bonnin and Jannach 2014, "Automated generation of music playlists: survey and experiments", section
4.2; Kelen et al. 2018 used it in the RecSys Challenge. With the k training playlists p of the
highest cosine to the history h, both as binary vectors over the tracks,

    score(t) = sum over p that hold t of cos(h, p).

With a recency below 1, the history counts its later tracks more.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import sparse

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.recommender import RECENCIES, AllTracks


class PlaylistKNN(AllTracks):
    """The training playlists, as a memory; a track counts once in a playlist."""

    name = "Playlist kNN"
    random = False
    space = {
        "playlist_knn.neighbours": (20, 50, 100, 200, 500, 1000), "recency": RECENCIES
    }  # fmt: skip
    held: sparse.csr_array

    def fit(self, folder: Path) -> None:
        tracks = self.data.tracks
        self.held = self.data.train.held(tracks)
        self.by_track = self.held.T.tocsr()
        self.lengths = np.maximum(np.diff(self.held.indptr), 1).astype(np.float32)

    def scores(self, histories: Playlists) -> np.ndarray:
        given = histories.held(self.data.tracks, self.recency)
        shared = given @ self.by_track
        shared.sort_indices()
        # the length of the history is the same for all playlists: without it, the order is kept
        shared.data = shared.data / np.sqrt(self.lengths[shared.indices])
        k = self.settings.playlist_knn.neighbours  # of equally similar ones, the earlier
        for low, high in pairwise(shared.indptr.tolist()):
            order = np.argsort(-shared.data[low:high], kind="stable")
            shared.data[low + order[k:]] = 0
        found: np.ndarray = (shared @ self.held).toarray()
        return found
