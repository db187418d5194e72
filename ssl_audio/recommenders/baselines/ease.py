"""EASE: a linear autoencoder of playlists with a closed form.

Steck 2019, "Embarrassingly shallow autoencoders for sparse data", equations 5 to 8. With X the
binary playlist-track matrix, B minimises |X - X B|^2 + l |B|^2 with a zero diagonal:

    P = (X^T X + l I)^-1,    B_ij = -P_ij / P_jj for i != j.
"""

from pathlib import Path

import numpy as np
from scipy import linalg

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.recommender import RECENCIES, AllTracks
from ssl_audio.settings.recommend import RecommendSettings

MAX_TRACKS = 30_000  # in training playlists: the inverse is then 7 GB in float64


class Ease(AllTracks):
    """A weight for each pair of tracks; a history's scores are the sums of its tracks' rows of B.

    Raises:
        SslAudioError: more than `MAX_TRACKS` tracks in the training playlists.
    """

    name = "EASE"
    random = False
    space = {
        "ease.penalty": (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0),
        "recency": RECENCIES,
    }  # fmt: skip
    weights: np.ndarray

    def __init__(self, settings: RecommendSettings, data: TrainingData) -> None:
        super().__init__(settings, data)
        self.used = np.flatnonzero(data.counts)
        if len(self.used) > MAX_TRACKS:
            raise SslAudioError(
                f"ease inverts a matrix of all {len(self.used)} training tracks, at most "
                f"{MAX_TRACKS}: leave it out of baselines="
            )

    def fit(self, folder: Path) -> None:
        held = self.data.train.held(self.data.tracks)[:, self.used]
        gram = (held.T @ held).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += self.settings.ease.penalty
        inverse = linalg.inv(gram, overwrite_a=True, check_finite=False)
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0)
        self.weights = weights.astype(np.float32)

    def scores(self, histories: Playlists) -> np.ndarray:
        found = np.full((len(histories), self.data.tracks), np.finfo(np.float32).min)
        given = histories.matrix(self.data.tracks, self.recency)[:, self.used]
        found[:, self.used] = given @ self.weights
        return found
