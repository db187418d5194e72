"""Recommenders: they score tracks as the continuation of a history; higher is better."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import sparse

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.evaluation.ranking import CELLS, CatalogueScorer

if TYPE_CHECKING:
    from ssl_audio.recommenders.models.transformer import PlaylistTransformer

BLOCK = 65_536  # candidates scored at a time


class CatalogueRecommender(Protocol):
    """Ranks the catalogue."""

    def catalogue_scorer(self, rows: np.ndarray) -> CatalogueScorer:
        """A function from histories to scores (histories, rows) of fixed rows of the catalogue."""


class Recommender(CatalogueRecommender, Protocol):
    """Ranks the catalogue, and given candidates."""

    def score(self, histories: Playlists, candidates: Playlists) -> np.ndarray:
        """(positions of candidates,) scores of each history's own candidates."""


class AllTracks(ABC):
    """A recommender that scores the whole catalogue at once."""

    @abstractmethod
    def scores(self, histories: Playlists) -> np.ndarray:
        """(histories, tracks) float32, a new array."""

    def score(self, histories: Playlists, candidates: Playlists) -> np.ndarray:
        found: list[np.ndarray] = []
        start, size = 0, 1  # the first block has one history, and shows how many fit in memory
        while start < len(histories):
            some = np.arange(start, min(start + size, len(histories)))
            start = int(some[-1]) + 1
            part = candidates.take(some)
            scores = self.scores(histories.take(some))
            found.append(scores[part.owners, part.tracks])
            size = max(1, CELLS // scores.shape[1])
        return np.concatenate(found)

    def catalogue_scorer(self, rows: np.ndarray) -> CatalogueScorer:
        return lambda histories: self.scores(histories)[:, rows]


@dataclass(frozen=True)
class Chance:
    """A random order."""

    seed: int

    def score(self, histories: Playlists, candidates: Playlists) -> np.ndarray:
        return np.random.default_rng(self.seed).random(len(candidates.tracks), np.float32)

    def catalogue_scorer(self, rows: np.ndarray) -> CatalogueScorer:
        rng = np.random.default_rng(self.seed)
        return lambda histories: rng.random((len(histories), len(rows)), np.float32)


@dataclass(frozen=True)
class Popularity:
    """The number of training playlists that hold a track, (tracks,)."""

    counts: np.ndarray

    def score(self, histories: Playlists, candidates: Playlists) -> np.ndarray:
        return self.counts[candidates.tracks]

    def catalogue_scorer(self, rows: np.ndarray) -> CatalogueScorer:
        scores = self.counts[rows].astype(np.float32)
        return lambda histories: np.tile(scores, (len(histories), 1))


class Cosine:
    """Cosine of a track's vector with the mean of the history's vectors (MUSIG, section 4.1).

    Vectors are not normalised before the mean. A vector of zeros, that of a track without training
    data, has cosine 0 with everything.

    Args:
        vectors: (tracks, dimensions).
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = np.asarray(vectors, np.float32)

    def score(self, histories: Playlists, candidates: Playlists) -> np.ndarray:
        vectors = self.vectors
        inverse = (1 / np.maximum(histories.lengths, 1)).astype(np.float32)
        entries = np.repeat(inverse, histories.lengths), histories.tracks, histories.offsets
        averaging = sparse.csr_matrix(entries, shape=(len(histories), len(vectors)))
        means = _unit(averaging @ vectors)
        lengths = np.sqrt(np.einsum("td,td->t", vectors, vectors))
        inverse = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        tracks, owners = candidates.tracks, candidates.owners
        scores = np.empty(len(tracks), np.float32)
        for start in range(0, len(tracks), BLOCK):
            part = slice(start, start + BLOCK)
            rows = tracks[part]
            products = np.einsum("pd,pd->p", vectors[rows], means[owners[part]])
            scores[part] = products * inverse[rows]
        return scores

    def catalogue_scorer(self, rows: np.ndarray) -> CatalogueScorer:
        """Scores are multiplied by the length of the history's sum, which keeps their order."""
        unit = _unit(self.vectors[rows])
        return lambda histories: _sums(self.vectors, histories) @ unit.T


class InnerProduct:
    """Inner product of an item's vector with the sum of the history's (M2GRL, section 5.1.2).

    Items of the history count by their recency (`Playlists.matrix`). An item with a vector of
    zeros, one without training data, is ranked last.

    Args:
        vectors: (items, dimensions); or (2, items, dimensions), input vectors, of the history, and
            output vectors, of the candidates: skip-gram is trained on the products of these two.

    Raises:
        SslAudioError: vectors that are not finite.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        both = np.asarray(vectors, np.float32)
        if not np.isfinite(both).all():
            raise SslAudioError("vectors that are not finite: train with a lower learning rate")
        self.inputs: np.ndarray = both[0] if both.ndim == 3 else both
        self.outputs: np.ndarray = both[1] if both.ndim == 3 else both

    def score(self, histories: Playlists, candidates: Playlists) -> np.ndarray:
        sums, tracks, owners = _sums(self.inputs, histories), candidates.tracks, candidates.owners
        scores = np.empty(len(tracks), np.float32)
        for start in range(0, len(tracks), BLOCK):
            part = slice(start, start + BLOCK)
            vectors = self.outputs[tracks[part]]
            found = np.einsum("pd,pd->p", vectors, sums[owners[part]])
            scores[part] = np.where(vectors.any(1), found, np.finfo(np.float32).min)
        return scores

    def catalogue_scorer(self, rows: np.ndarray) -> CatalogueScorer:
        some = self.outputs[rows]
        unknown = ~some.any(1)

        def score(histories: Playlists) -> np.ndarray:
            scores = _sums(self.inputs, histories) @ some.T
            scores[:, unknown] = np.finfo(np.float32).min
            return scores

        return score


@dataclass(frozen=True)
class NextTrackLogits:
    """A transformer: given candidates by their mean probability after each track of the history,
    the catalogue by the logits of the very next track."""

    model: PlaylistTransformer

    def score(self, histories: Playlists, candidates: Playlists) -> np.ndarray:
        return self.model.scores(histories, candidates)

    def catalogue_scorer(self, rows: np.ndarray) -> CatalogueScorer:
        vectors, share = self.model.output_vectors(rows), self.model.unknown_share(rows)

        def score(histories: Playlists) -> np.ndarray:
            found = self.model.last_hidden(histories) @ vectors.T
            return found.add_(share).cpu().numpy()

        return score


def _sums(vectors: np.ndarray, histories: Playlists) -> np.ndarray:
    found: np.ndarray = histories.matrix(len(vectors)) @ vectors
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
