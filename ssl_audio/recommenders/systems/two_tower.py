"""The two-tower model of content as a recommender."""

from pathlib import Path

import numpy as np
import torch

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.node_features import FeatureGroup
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.models.two_tower import ContentBatches, TwoTower, load_two_tower
from ssl_audio.recommenders.recommender import MODEL, InductiveModel, VectorRecommender
from ssl_audio.settings.recommend import RecommendSettings


class TwoTowerRecommender(VectorRecommender):
    """Vectors of all tracks with an audio embedding, cold ones among them."""

    name = "Two-tower"
    features = "embeddings"
    space = {
        "two_tower.dimensions": (64, 128, 256), "two_tower.hidden": (128, 256, 512),
        "two_tower.dropout": (0.0, 0.1, 0.3), "two_tower.temperature": (0.05, 0.1, 0.2),
        "two_tower.learning_rate": (3e-4, 1e-3, 3e-3), "two_tower.steps": (1000, 2000, 4000),
    }  # fmt: skip

    def __init__(self, settings: RecommendSettings, data: TrainingData) -> None:
        super().__init__(settings, data)
        if data.embeddings is None:
            raise SslAudioError("model=two_tower learns from audio: give stores.embeddings=")
        self.audio = data.embeddings

    def train(self, folder: Path) -> np.ndarray:
        data, settings, known = self.data, self.settings.two_tower, self.data.has_audio
        seed = self.settings.seed
        batches = ContentBatches(data.train, self.audio, known, settings.batch_size, seed)
        torch.manual_seed(seed)
        model = TwoTower(self.audio.shape[1], settings)
        model.standardise.fit(self.audio[known & (data.counts > 0)])
        self.fit_model(folder, settings.steps, model, batches, clip=settings.clip,
                       warmup=settings.warmup)  # fmt: skip
        model.save(folder / MODEL)
        return np.where(known[:, None], model.vectors(self.audio), 0)

    @staticmethod
    def inductive(folder: Path) -> InductiveModel:
        """The saved model."""
        model = load_two_tower(folder / MODEL)

        def vectors(groups: list[FeatureGroup], graph: TrackGraph) -> np.ndarray:
            mean = model.standardise.mean.numpy()
            return model.vectors(np.where(groups[0].present[:, None], groups[0].values, mean))

        return InductiveModel(["embeddings"], [], False, vectors)
