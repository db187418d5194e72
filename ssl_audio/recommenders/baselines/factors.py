"""Matrix factorisation of playlists and tracks by the library `implicit`: ALS and BPR.

Hu, Koren and Volinsky 2008, "Collaborative filtering for implicit feedback datasets" (ALS); Rendle
et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback".
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.recommender import RECENCIES, VectorRecommender
from ssl_audio.recommenders.scorers import VectorScorer
from ssl_audio.settings.baselines import ALSSettings


class FoldedIn(VectorScorer):
    """ALS for new playlists: the factors of a history by equation 4, times those of the tracks.

    Args:
        vectors: (tracks, dimensions) factors of the tracks.
        settings: that they were trained with.
        recency: confidence of a position, to the power of the number of later ones.
    """

    def __init__(self, vectors: np.ndarray, settings: ALSSettings, recency: float = 1.0) -> None:
        self.outputs, self.model, self.recency = vectors, _als(settings), recency
        self.model.item_factors = vectors

    def queries(self, histories: Playlists) -> np.ndarray:
        given = _matrix(histories, len(self.outputs), self.recency)
        users = self.model.recalculate_user(np.arange(len(histories)), given)
        return np.asarray(users, np.float32)


class ALS(VectorRecommender):
    """Alternating least squares."""

    name = "ALS"
    package = "implicit"
    space = {
        "als.dimensions": (32, 64, 128), "als.regularisation": (0.1, 1.0, 10.0, 100.0),
        "als.confidence": (1.0, 3.0, 10.0, 40.0), "recency": RECENCIES,
    }  # fmt: skip

    def train(self, folder: Path) -> np.ndarray:
        model = _als(self.settings.als, self.settings.seed)
        model.fit(_matrix(self.data.train, self.data.tracks), show_progress=False)
        return np.asarray(model.item_factors)

    def ranking(self, vectors: np.ndarray) -> VectorScorer:
        return FoldedIn(vectors, self.settings.als, self.recency)


class BPR(VectorRecommender):
    """Bayesian personalised ranking."""

    name = "BPR"
    package = "implicit"
    space = {
        "bpr.dimensions": (32, 64, 128), "bpr.regularisation": (1e-4, 1e-3, 1e-2),
        "bpr.learning_rate": (0.02, 0.05, 0.1), "bpr.epochs": (50, 100, 200),
        "recency": RECENCIES,
    }  # fmt: skip

    def train(self, folder: Path) -> np.ndarray:
        from implicit.cpu.bpr import BayesianPersonalizedRanking

        data, chosen = self.data, self.settings.bpr
        model = BayesianPersonalizedRanking(
            chosen.dimensions, chosen.learning_rate, chosen.regularisation,
            iterations=chosen.epochs, num_threads=1, random_state=self.settings.seed,
        )  # fmt: skip
        model.fit(_matrix(data.train, data.tracks), show_progress=False)
        return data.in_training(model.item_factors[:, : chosen.dimensions])  # without the biases


def _als(settings: ALSSettings, seed: int = 0) -> Any:
    from implicit.cpu.als import AlternatingLeastSquares

    return AlternatingLeastSquares(
        settings.dimensions, settings.regularisation, alpha=settings.confidence,
        iterations=settings.epochs, num_threads=1, random_state=seed,
    )  # fmt: skip


def _matrix(playlists: Playlists, tracks: int, recency: float = 1.0) -> sparse.csr_matrix:
    return sparse.csr_matrix(playlists.held(tracks, recency))
