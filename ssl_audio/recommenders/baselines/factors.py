"""Matrix factorisation of playlists and tracks by the library `implicit`: ALS and BPR.

Hu, Koren and Volinsky 2008, "Collaborative filtering for implicit feedback datasets" (ALS); Rendle
et al. 2009, "BPR: Bayesian personalized ranking from implicit feedback".
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.evaluation.ranking import Scorer
from ssl_audio.recommenders.recommender import VectorRecommender
from ssl_audio.recommenders.scorers import row_products

REGULARISATION, CONFIDENCE = 10.0, 10.0  # of ALS; confidence of a track that is in a playlist
BPR_RATE, BPR_REGULARISATION = 0.05, 1e-3


def bpr_vectors(
    playlists: Playlists, tracks: int, dimensions: int = 64, epochs: int = 100, seed: int = 0
) -> np.ndarray:
    """(tracks, dimensions) float32, zero for a track in no playlist; without the tracks' biases."""
    model = _library("bpr").BayesianPersonalizedRanking(
        dimensions, BPR_RATE, BPR_REGULARISATION, iterations=epochs, num_threads=1,
        random_state=seed,
    )  # fmt: skip
    model.fit(_matrix(playlists, tracks), show_progress=False)
    known = np.bincount(playlists.tracks, minlength=tracks) > 0
    return np.where(known[:, None], model.item_factors[:, :dimensions], 0).astype(np.float32)


def als_vectors(
    playlists: Playlists, tracks: int, dimensions: int = 64, epochs: int = 15, seed: int = 0
) -> np.ndarray:
    """(tracks, dimensions) float32 factors of the tracks."""
    model = _als(dimensions, epochs, seed)
    model.fit(_matrix(playlists, tracks), show_progress=False)
    return np.asarray(model.item_factors, np.float32)


class FoldedIn:
    """ALS for new playlists: the factors of a history by equation 4, times those of the tracks.

    Args:
        vectors: (tracks, dimensions) of `als_vectors`.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors, self.model = vectors, _als(vectors.shape[1])
        self.model.item_factors = vectors

    def score(self, histories: Playlists, candidates: Playlists | None) -> np.ndarray:
        given = _matrix(histories, len(self.vectors))
        users = self.model.recalculate_user(np.arange(len(histories)), given).astype(np.float32)
        if candidates is None:
            return users @ self.vectors.T  # type: ignore[no-any-return]
        return row_products(users, self.vectors, candidates)


class ALS(VectorRecommender):
    """Alternating least squares."""

    name = "ALS"

    def train(self, folder: Path) -> np.ndarray:
        return als_vectors(self.data.train, self.data.tracks, seed=self.settings.seed)

    def ranking(self, vectors: np.ndarray) -> Scorer:
        return FoldedIn(vectors)


class BPR(VectorRecommender):
    """Bayesian personalised ranking."""

    name = "BPR"

    def train(self, folder: Path) -> np.ndarray:
        return bpr_vectors(self.data.train, self.data.tracks, seed=self.settings.seed)


def _als(dimensions: int, epochs: int = 15, seed: int = 0) -> Any:
    return _library("als").AlternatingLeastSquares(
        dimensions, REGULARISATION, alpha=CONFIDENCE, iterations=epochs, num_threads=1,
        random_state=seed,
    )  # fmt: skip


def _library(model: str) -> Any:
    try:
        return import_module(f"implicit.cpu.{model}")
    except ImportError as error:
        raise SslAudioError(
            "ALS and BPR need implicit: pip install 'ssl_audio[playlists]'"
        ) from error


def _matrix(playlists: Playlists, tracks: int) -> sparse.csr_matrix:
    return sparse.csr_matrix(playlists.distinct(tracks).matrix(tracks))
