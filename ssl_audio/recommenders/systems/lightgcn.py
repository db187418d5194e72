"""LightGCN as a recommender."""

from pathlib import Path

import numpy as np

from ssl_audio.recommenders.models.lightgcn import LightGCN, TripleBatches
from ssl_audio.recommenders.recommender import RECENCIES, VectorRecommender


class LightGCNRecommender(VectorRecommender):
    """LightGCN over the training playlists; a new playlist is the sum of its tracks' vectors."""

    name = "LightGCN"
    space = {
        "lightgcn.dimensions": (32, 64, 128), "lightgcn.layers": (1, 2, 3, 4),
        "lightgcn.learning_rate": (1e-3, 5e-3, 1e-2), "lightgcn.steps": (500, 1000, 2000, 4000),
        "lightgcn.regularisation": (1e-5, 1e-4, 1e-3), "recency": RECENCIES,
    }  # fmt: skip

    def train(self, folder: Path) -> np.ndarray:
        data, settings, seed = self.data, self.settings.lightgcn, self.settings.seed
        model = LightGCN(data.train, data.tracks, settings, seed)
        batches = TripleBatches(data.train, data.tracks, settings.batch_size, seed)
        self.fit_model(folder, settings.steps, model, batches)
        return data.in_training(model.vectors())
