"""Popularity, and a random order."""

import numpy as np

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.recommender import AllTracks


class Popularity(AllTracks):
    """The number of training playlists that hold a track."""

    name = "Popularity"
    random = False

    def scores(self, histories: Playlists) -> np.ndarray:
        return np.tile(self.data.counts.astype(np.float32), (len(histories), 1))


class RandomOrder(AllTracks):
    """A random order of each history, which follows from the seed and the history alone."""

    name = "Random"

    def scores(self, histories: Playlists) -> np.ndarray:
        keys = np.add.reduceat(histories.tracks.astype(np.int64) ** 2, histories.offsets[:-1])
        draws = [np.random.default_rng((self.settings.seed, key)) for key in keys.tolist()]
        return np.stack([rng.random(self.data.tracks, np.float32) for rng in draws])
