"""Track2Vec and plain skip-gram: Word2Vec over playlists, by gensim.

MUSIG, section 4.2; M2GRL, equations 1 to 3; Mikolov et al. 2013, "Distributed representations of
words and phrases".
"""

from itertools import pairwise
from pathlib import Path

import numpy as np

from ssl_audio.recommenders.baselines.word2vec import word2vec
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.recommender import RECENCIES, VECTORS, VectorRecommender
from ssl_audio.recommenders.tables import BY_WEIGHTS, MAIN, Role
from ssl_audio.settings.baselines import Word2VecSettings
from ssl_audio.settings.recommend import RecommendSettings

MAX_LENGTH = 10_000  # positions of a list; gensim drops the others without a warning


class Track2Vec(VectorRecommender):
    """Track2Vec; with a group of features, TRACK2VEC-FEATURE of MUSIG, section 4.2.

    The cosine weighs vectors and features, 0 to 1, by the products of their norms.

    Args:
        group: of the features that the vectors are concatenated with; "" for none.
    """

    name = "Track2Vec"
    package = "gensim"
    space = {
        "track2vec.dimensions": (64, 128, 256), "track2vec.window": (5, 10, 20),
        "track2vec.negatives": (5, 15), "track2vec.epochs": (5, 10, 20, 40),
        "track2vec.sample": (0.0, 1e-3), "recency": RECENCIES,
    }  # fmt: skip

    def __init__(self, settings: RecommendSettings, data: TrainingData, group: str = "") -> None:
        super().__init__(settings, data)
        self.features = group
        if group:
            self.role = Role.REFERENCE

    def train(self, folder: Path) -> np.ndarray:
        kept = folder.parent / self.name.lower() / VECTORS
        if self.features and kept.exists():
            vectors = np.load(kept, allow_pickle=False)
        else:
            chosen, seed = self.settings.track2vec, self.settings.seed
            vectors = track2vec(self.data.train, self.data.tracks, chosen, seed)
        if not self.features:
            return vectors
        features, _ = self.data.features([self.features], self.settings.missing)
        return np.concatenate([vectors[0], features], axis=1)


class SkipGram(VectorRecommender):
    """Skip-gram of items alone, with M2GRL's settings: all pairs within the window."""

    name = "SGNS, items alone"
    package = "gensim"
    tables = (MAIN, BY_WEIGHTS)
    space = {
        "m2grl.dimensions": (32, 64, 128), "m2grl.window": (5, 9, 20),
        "m2grl.negatives": (5, 10, 20), "recency": RECENCIES,
    }  # fmt: skip

    def train(self, folder: Path) -> np.ndarray:
        chosen = self.settings.m2grl
        return track2vec(self.data.train, self.data.tracks, Word2VecSettings(
            dimensions=chosen.dimensions, window=chosen.window, draw_windows=False,
            negatives=chosen.negatives, epochs=5,
        ), self.settings.seed)  # fmt: skip


def track2vec(
    playlists: Playlists, tracks: int, settings: Word2VecSettings, seed: int = 0
) -> np.ndarray:
    """(2, tracks, dimensions) float32 input and output vectors; 0 for a track in no playlist."""
    counts = np.bincount(playlists.tracks, minlength=tracks)
    lists = [
        playlists.tracks[part : min(part + MAX_LENGTH, end)]
        for start, end in pairwise(playlists.offsets.tolist())
        for part in range(start, end, MAX_LENGTH)
    ]
    return word2vec(lists, counts, settings, seed)
