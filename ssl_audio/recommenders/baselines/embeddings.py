"""Cosine of audio embeddings: what content alone tells, without any training."""

from pathlib import Path

import numpy as np

from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.recommender import VectorRecommender
from ssl_audio.settings.recommend import RecommendSettings


class AudioEmbeddings(VectorRecommender):
    """Embeddings minus their mean over training tracks; with it, every cosine is close to 1."""

    name = "Audio embeddings"
    random = False

    def train(self, folder: Path) -> np.ndarray:
        data = self.data
        assert data.embeddings is not None
        mean = data.embeddings[data.has_audio & (data.counts > 0)].mean(0)
        return np.where(data.has_audio[:, None], data.embeddings - mean, 0)


def embeddings(settings: RecommendSettings, data: TrainingData) -> list[AudioEmbeddings]:
    """The baseline, where there are embeddings; a note where there are none."""
    if data.embeddings is None:
        data.note("the baseline embeddings is left out: give stores.embeddings=")
        return []
    if not (data.has_audio & (data.counts > 0)).any():
        data.note("the baseline embeddings is left out: no training track has an embedding")
        return []
    return [AudioEmbeddings(settings, data)]
