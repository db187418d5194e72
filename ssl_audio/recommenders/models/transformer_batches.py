"""Batches that the playlist transformer is trained on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.vocabulary import SPECIALS, UNKNOWN, Vocabulary
from ssl_audio.settings.recommend import TransformerSettings


class TransformerBatch(NamedTuple):
    """What one step reads.

    Attributes:
        tokens: (playlists, context + 2) int64: each but the last is read, each but the first is
            predicted, so that every position of the context is trained.
        negatives: (negatives,) int64 distinct tokens, any but `<start>`, all equally likely.
    """

    tokens: torch.Tensor
    negatives: torch.Tensor


class TransformerBatches:
    """Training batches as a function of the step: no state, so a resumed run reads the same.

    An epoch is a permutation of the playlists drawn from (seed, epoch), and the batches are cut
    from one permutation after the other: each playlist comes once an epoch, and none is left over.
    """

    def __init__(
        self,
        playlists: Playlists,
        vocabulary: Vocabulary,
        settings: TransformerSettings,
        unknown_rate: float = 0.0,
        seed: int = 0,
    ) -> None:
        if not len(playlists):
            raise SslAudioError("there is no training playlist")
        self.playlists, self.vocabulary, self.settings = playlists, vocabulary, settings
        self.unknown_rate, self.seed = unknown_rate, seed
        self._orders: dict[int, np.ndarray] = {}

    def steps_per_epoch(self) -> int:
        """Steps after which every playlist has come."""
        return -(-len(self.playlists) // self.settings.batch_size)

    def __call__(self, step: int) -> TransformerBatch:
        """The batch of one step."""
        settings = self.settings
        rng = np.random.default_rng((self.seed, 1, step))
        chosen = self.playlists.take(self._chosen(step))
        tokens = self.vocabulary.encode(chosen, settings.context + 1, rng)
        lost = (rng.random(tokens.shape) < self.unknown_rate) & (tokens >= SPECIALS)
        tokens[lost] = UNKNOWN
        candidates = self.vocabulary.size - 1  # any but <start>, which nothing predicts
        count = min(settings.negatives, candidates)
        negatives = 1 + rng.choice(candidates, count, replace=False, shuffle=False)
        return TransformerBatch(torch.from_numpy(tokens).long(), torch.from_numpy(negatives).long())

    def _chosen(self, step: int) -> np.ndarray:
        places = step * self.settings.batch_size + np.arange(self.settings.batch_size)
        epochs, within = np.divmod(places, len(self.playlists))
        chosen = np.empty(len(places), np.int64)
        for epoch in range(epochs[0], epochs[-1] + 1):
            chosen[epochs == epoch] = self._order(epoch)[within[epochs == epoch]]
        return chosen

    def _order(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:
            rng = np.random.default_rng((self.seed, 0, epoch))
            order = rng.permutation(len(self.playlists))
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}
            self._orders[epoch] = order
        return self._orders[epoch]
