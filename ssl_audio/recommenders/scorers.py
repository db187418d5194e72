"""How vectors rank tracks as the continuation of a history; higher is better."""

from abc import ABC, abstractmethod

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.stores.graph import unit

BLOCK = 65_536  # candidates scored at a time


class VectorScorer(ABC):
    """Scores that are inner products of a history's vector and the tracks' vectors.

    Attributes:
        outputs: (tracks, d) float32 vectors of the tracks.
    """

    outputs: np.ndarray

    @abstractmethod
    def queries(self, histories: Playlists) -> np.ndarray:
        """(histories, d) float32 vectors."""

    def score(self, histories: Playlists, candidates: Playlists | None) -> np.ndarray:
        """As `recommender.Recommender.score`."""
        queries = self.queries(histories)
        if candidates is None:
            return queries @ self.outputs.T  # type: ignore[no-any-return]
        return row_products(queries, self.outputs, candidates)


class Cosine(VectorScorer):
    """Cosine of a track's vector with the mean of the history's vectors (MUSIG, section 4.1).

    Vectors are not normalised before the mean. A vector of zeros, that of a track without training
    data, has cosine 0 with everything.

    Args:
        vectors: (tracks, dimensions).
        recency: weight of a position, to the power of the number of later ones.
    """

    def __init__(self, vectors: np.ndarray, recency: float = 1.0) -> None:
        self.vectors, self.recency = np.asarray(vectors, np.float32), recency
        self.outputs = unit(self.vectors)

    def queries(self, histories: Playlists) -> np.ndarray:
        # the direction of the sum is that of the mean
        return unit(histories.matrix(len(self.vectors), self.recency) @ self.vectors)


class InnerProduct(VectorScorer):
    """Inner product of an item's vector with the sum of the history's (M2GRL, section 5.1.2).

    An item with a vector of zeros, one without training data, is ranked last.

    Args:
        vectors: (items, dimensions); or (2, items, dimensions), input vectors, of the history, and
            output vectors, of the candidates: skip-gram is trained on the products of these two.
        recency: weight of an item, to the power of the number of later ones.

    Raises:
        SslAudioError: vectors that are not finite.
    """

    def __init__(self, vectors: np.ndarray, recency: float = 1.0) -> None:
        self.recency = recency
        both = np.asarray(vectors, np.float32)
        if not np.isfinite(both).all():
            raise SslAudioError("vectors that are not finite: train with a lower learning rate")
        self.inputs: np.ndarray = both[0] if both.ndim == 3 else both
        self.outputs = both[1] if both.ndim == 3 else both
        self.unknown = np.asarray(~self.outputs.any(1))

    def queries(self, histories: Playlists) -> np.ndarray:
        found: np.ndarray = histories.matrix(len(self.inputs), self.recency) @ self.inputs
        return found

    def score(self, histories: Playlists, candidates: Playlists | None) -> np.ndarray:
        scores = super().score(histories, candidates)
        unknown = self.unknown if candidates is None else self.unknown[candidates.tracks]
        scores[..., unknown] = np.finfo(np.float32).min
        return scores


def row_products(left: np.ndarray, right: np.ndarray, candidates: Playlists) -> np.ndarray:
    """(positions,) inner products of each list's row of `left` with its tracks' rows of `right`."""
    tracks, owners = candidates.tracks, candidates.owners
    scores = np.empty(len(tracks), np.float32)
    for start in range(0, len(tracks), BLOCK):
        part = slice(start, start + BLOCK)
        scores[part] = np.einsum("pd,pd->p", left[owners[part]], right[tracks[part]])
    return scores
