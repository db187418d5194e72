"""An ensemble of recommenders by reciprocal rank fusion.

Cormack, Clarke and Buettcher 2009, "Reciprocal rank fusion outperforms Condorcet and individual
rank learning methods": with r_i(t) = 1, 2, ... the rank of a track by recommender i,

    score(t) = sum over i of 1 / (60 + r_i(t)).
"""

from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.csr import places_of
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.recommender import Recommender, make
from ssl_audio.settings.recommend import RecommendSettings

CONSTANT = 60


class Ensemble(Recommender):
    """The recommenders of the setting `ensemble`, each with its own training and folder.

    A recommender that is also compared alone is trained once: both take the same folder.
    """

    stored = False
    parts: list[Recommender]

    def __init__(self, settings: RecommendSettings, data: TrainingData) -> None:
        super().__init__(settings, data)
        self.parts = self._made()
        self.name = f"Ensemble of {', '.join(part.label for part in self.parts)}"
        self.random = any(part.random for part in self.parts)

    def _made(self) -> list[Recommender]:
        if "ensemble" in self.settings.ensemble:
            raise SslAudioError("ensemble=[ensemble]: name other recommenders")
        names = self.settings.ensemble
        return [make(name, self.settings, self.data, required=True)[0] for name in names]

    def fit(self, folder: Path) -> None:
        self.parts = self._made()  # with the training seed of this copy
        for part in self.parts:
            part.fit(folder.parent / part.folder)

    def score(self, histories: Playlists, candidates: Playlists | None) -> np.ndarray:
        ranks = (_ranks(part.score(histories, candidates), candidates) for part in self.parts)
        total: np.ndarray = sum(1 / (CONSTANT + rank) for rank in ranks)  # type: ignore[assignment]
        return total.astype(np.float32)

    def known(self) -> np.ndarray:
        return np.logical_or.reduce([part.known() for part in self.parts])


def _ranks(scores: np.ndarray, candidates: Playlists | None) -> np.ndarray:
    """Ranks from 1 in each history's candidates or row, in the shape of the scores."""
    if candidates is None:
        return rankdata(-scores, "ordinal", axis=1)  # type: ignore[no-any-return]
    ranks: np.ndarray = np.empty(scores.shape)
    ranks[np.lexsort((-scores, candidates.owners))] = 1.0 + places_of(candidates.offsets)
    return ranks
