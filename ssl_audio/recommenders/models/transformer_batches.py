"""Batches that the playlist transformer is trained on."""

from typing import NamedTuple

import numpy as np
import torch

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.sampling import ShuffledEpochs
from ssl_audio.recommenders.data.vocabulary import SPECIALS, UNKNOWN, Vocabulary
from ssl_audio.settings.recommend import TransformerSettings

# with negatives=auto
MAX_FULL_SOFTMAX = 20_000  # tokens that a softmax over all of them may have
AUTO_NEGATIVES = 1000  # drawn from more


class TransformerBatch(NamedTuple):
    """One batch.

    Attributes:
        tokens: (playlists, context + 2) int64: all but the last are read, all but the first are
            predicted.
        negatives: (negatives,) int64 distinct tokens, uniform over all but `<start>`; None: all of
            these.
    """

    tokens: torch.Tensor
    negatives: torch.Tensor | None


class TransformerBatches:
    """Batches of playlists in shuffled epochs; each is a function of the seed and the step.

    Args:
        playlists, vocabulary: of training.
        unknown_rate: share of the tracks that become `<unk>`, 0 to 1.
    """

    def __init__(
        self,
        playlists: Playlists,
        vocabulary: Vocabulary,
        settings: TransformerSettings,
        unknown_rate: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.playlists, self.vocabulary, self.settings = playlists, vocabulary, settings
        self.unknown_rate, self.seed = unknown_rate, seed
        self.epochs = ShuffledEpochs(len(playlists), settings.batch_size, (seed, 0, -1))

    def __call__(self, step: int) -> TransformerBatch:
        """The batch of a step."""
        settings = self.settings
        rng = np.random.default_rng((self.seed, 1, step))
        chosen = self.playlists.take(self.epochs.batch(step))
        tokens = self.vocabulary.encode(chosen, settings.context + 1, rng)
        masked = (rng.random(tokens.shape) < self.unknown_rate) & (tokens >= SPECIALS)
        tokens[masked] = UNKNOWN
        return TransformerBatch(torch.from_numpy(tokens).long(), self._negatives(rng))

    def _negatives(self, rng: np.random.Generator) -> torch.Tensor | None:
        candidates = self.vocabulary.size - 1  # all but <start>, which nothing predicts
        count = self.settings.negatives
        if count == "auto":
            count = candidates if candidates <= MAX_FULL_SOFTMAX else AUTO_NEGATIVES
        if count >= candidates:
            return None
        return torch.from_numpy(1 + rng.choice(candidates, count, replace=False, shuffle=False))
