"""The transformer as a recommender."""

from pathlib import Path

import numpy as np
import torch

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.data.vocabulary import vocabulary_of
from ssl_audio.recommenders.models.sampling_decoder import generate
from ssl_audio.recommenders.models.track_embedding import SideInformation
from ssl_audio.recommenders.models.transformer import PlaylistTransformer, load_transformer
from ssl_audio.recommenders.models.transformer_batches import TransformerBatches
from ssl_audio.recommenders.recommender import MODEL, Recommender
from ssl_audio.recommenders.track_index import track_indexes
from ssl_audio.settings.recommend import RecommendSettings


class TransformerRecommender(Recommender):
    """Track ids, artists and albums, and audio embeddings where they are given."""

    name = "Transformer"
    space = {
        "transformer.layers": (1, 2, 3, 6), "transformer.dimensions": (64, 128, 256),
        "transformer.dropout": (0.1, 0.2, 0.3, 0.5), "transformer.id_dropout": (0.0, 0.2, 0.4),
        "transformer.batch_size": (16, 64), "transformer.learning_rate": (5e-4, 1e-3, 2e-3),
        "transformer.steps": (1500, 3000, 6000),
    }  # fmt: skip
    model_of_run: PlaylistTransformer

    def __init__(self, settings: RecommendSettings, data: TrainingData) -> None:
        super().__init__(settings, data)
        self.has_audio = None if data.embeddings is None else data.has_audio
        if self.has_audio is not None:
            self.features = "embeddings"
            if without := int((~self.has_audio).sum()):
                data.note(
                    f"{without} tracks have no audio embedding: the transformer uses their ids"
                )

    def fit(self, folder: Path) -> None:
        data, settings, kept = self.data, self.settings.transformer, folder / MODEL
        if not kept.exists():
            vocabulary = vocabulary_of(data.train, data.tracks)
            warm = data.validation.without_tracks(data.cold)  # like the test playlists
            rate, seed = vocabulary.unknown_share(warm), self.settings.seed
            batches = TransformerBatches(data.train, vocabulary, settings, rate, seed)
            side = SideInformation.of(data.catalogue, data.embeddings, self.has_audio)
            torch.manual_seed(seed)  # of the dropout
            model = PlaylistTransformer(vocabulary, settings, side, seed)
            self.fit_model(folder, settings.steps, model, batches,
                           clip=settings.clip, warmup=settings.warmup)  # fmt: skip
            model.save(kept)
        self.use(load_transformer(kept, data.embeddings, self.has_audio), folder)

    def use(self, model: PlaylistTransformer, folder: Path | None = None) -> None:
        """Take a trained network; `folder` keeps its index."""
        self.model_of_run, data = model, self.data
        self.rows = np.arange(data.tracks)
        self.outputs = self.model_of_run.output_vectors(self.rows)
        self.share = self.model_of_run.unknown_share(self.rows)
        vectors = self.outputs.cpu().numpy()
        self.indexes = track_indexes(vectors, self.model_of_run.recommendable, folder)

    def score(self, histories: Playlists, candidates: Playlists | None) -> np.ndarray:
        """Log-probabilities of the next track, up to a constant of the history."""
        if candidates is not None:
            return self.model_of_run.scores(histories, candidates)
        found = self.model_of_run.last_hidden(histories) @ self.outputs.T
        return found.add_(self.share).cpu().numpy()

    def known(self) -> np.ndarray:
        return np.isin(self.rows, self.model_of_run.recommendable)

    def continuation(
        self, history: np.ndarray, length: int, k: int, seed: int, approximate: bool | None
    ) -> list[int]:
        index = self.indexes(approximate)
        return generate(self.model_of_run, history.tolist(), length, k, seed, index=index)
