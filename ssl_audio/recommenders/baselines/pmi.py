"""Item-item similarity by positive pointwise mutual information.

Levy and Goldberg 2014, "Neural word embedding as implicit matrix factorization", section 3.1: the
matrix that skip-gram with negative sampling factorises. With N playlists, of which n hold a track
or both, PMI(i, j) = log(N n_ij / (n_i n_j)).
"""

import numpy as np

from ssl_audio.recommenders.baselines.item_cf import ItemCF
from ssl_audio.recommenders.recommender import RECENCIES


def pointwise_mutual_information(
    both: np.ndarray, one: np.ndarray, other: np.ndarray, playlists: int
) -> np.ndarray:
    """log(N n_ij / (n_i n_j)), in nats."""
    return np.log(playlists * both / (one * other))


class PMI(ItemCF):
    """The tracks of highest PMI of each track; a track's score is the sum over the history."""

    name = "PMI"
    space = {"pmi.neighbours": (20, 50, 100, 200, 500, 1000), "recency": RECENCIES}
    measure = staticmethod(pointwise_mutual_information)

    @property
    def neighbours(self) -> int:
        return self.settings.pmi.neighbours
