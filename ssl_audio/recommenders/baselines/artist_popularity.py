"""The most popular tracks of the history's artists.

SAGH ("same artists, greatest hits") of Bonnin and Jannach 2014, "Automated generation of music
playlists: survey and experiments", section 4.4; after these tracks, all others by popularity.
"""

from pathlib import Path

import numpy as np

from ssl_audio.recommenders.data.collection import Playlists, codes_of
from ssl_audio.recommenders.recommender import AllTracks


class ArtistPopularity(AllTracks):
    """Popularity, with tracks of the history's artists first."""

    name = "Artist popularity"
    random = False

    def fit(self, folder: Path) -> None:
        counts = self.data.counts
        self.artists = codes_of(self.data.catalogue.artists)[0]  # -1 unknown
        self.popularity = (counts / (counts.max(initial=0) + 1)).astype(np.float32)  # below 1

    def scores(self, histories: Playlists) -> np.ndarray:
        known = self.artists >= 0
        among = np.zeros((len(histories), int(self.artists.max(initial=-1)) + 2), np.float32)
        owners = histories.owners[known[histories.tracks]]
        among[owners, self.artists[histories.tracks[known[histories.tracks]]]] = 1
        return np.take(among, self.artists, axis=1) + self.popularity  # -1: the last column, 0
