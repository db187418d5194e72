"""PureSVD: truncated singular value decomposition of the playlist-track matrix.

Cremonesi, Koren and Turrin 2010, "Performance of recommender algorithms on top-N recommendation
tasks", section 3.2. With X = U S V^T of the binary matrix, the scores of a history x are x V V^T:
the inner products of V's rows with the sum of the history's.
"""

from pathlib import Path

import numpy as np
from scipy.sparse.linalg import svds

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.recommender import RECENCIES, VectorRecommender
from ssl_audio.recommenders.scorers import InnerProduct, VectorScorer


def svd_vectors(
    playlists: Playlists, tracks: int, dimensions: int = 64, seed: int = 0
) -> np.ndarray:
    """(tracks, dimensions) float32 rows of V, those of the largest singular value first.

    Fewer dimensions where there are fewer playlists or tracks. A track counts once in a playlist.
    The seed is that of the iteration's first vector.
    """
    held = playlists.held(tracks).astype(np.float64)
    k = min(dimensions, min(held.shape) - 1)
    start = np.random.default_rng(seed).normal(size=min(held.shape))
    _, values, right = svds(held, k, v0=start)
    return right[np.argsort(-values)].T.astype(np.float32)


class SVD(VectorRecommender):
    """PureSVD."""

    name = "SVD"
    space = {"svd.dimensions": (16, 32, 64, 128, 256), "recency": RECENCIES}
    random = False  # the iteration converges from any vector

    def train(self, folder: Path) -> np.ndarray:
        chosen, seed = self.settings.svd.dimensions, self.settings.seed
        vectors = svd_vectors(self.data.train, self.data.tracks, chosen, seed)
        return self.data.in_training(vectors)  # 0 but for rounding elsewhere

    def ranking(self, vectors: np.ndarray) -> VectorScorer:
        return InnerProduct(vectors, self.recency)
