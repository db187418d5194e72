"""Node2Vec, and DeepWalk as its case p = q = 1: skip-gram over random walks on the track graph.

Grover and Leskovec 2016; Perozzi et al. 2014; MUSIG, section 4.2; M2GRL, section 5.1.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.baselines.track2vec import LONGEST, Word2VecSettings, skip_gram
from ssl_audio.recommenders.baselines.walks import Walks


@dataclass(frozen=True)
class Node2VecSettings:
    """How walks are made and vectors trained on them.

    Attributes:
        length: nodes in a walk, its first included, at most 10,000.
        rounds: walks from each node.
        p, q: of the walks; both 1 is DeepWalk.
        skip_gram: of the vectors; its seed is the walks' too.
    """

    length: int = 80
    rounds: int = 10
    p: float = 1.0
    q: float = 0.5
    skip_gram: Word2VecSettings = Word2VecSettings(epochs=5, window=10)


def node2vec_vectors(
    offsets: np.ndarray,
    neighbours: np.ndarray,
    weights: np.ndarray,
    settings: Node2VecSettings | None = None,
) -> np.ndarray:
    """(nodes, dimensions) float32 vectors; zero for a node without neighbours.

    The walks are drawn anew, and the same, in every epoch, so that memory holds one round of them.

    Args:
        offsets: (nodes + 1,) int64, where each node's neighbours start.
        neighbours: (edges,) int32, sorted within a node; an edge is listed from both its ends.
        weights: (edges,) whole numbers, above 0.
        settings: None is the defaults.

    Raises:
        SslAudioError: gensim is missing, the graph has no edge, or the walks are too long.
    """
    settings = settings or Node2VecSettings()
    if not len(neighbours):
        raise SslAudioError("the track graph has no edge: lower the least weight of an edge")
    if settings.length > LONGEST:
        raise SslAudioError(f"walks of length={settings.length}: at most {LONGEST}")
    walks = _Corpus(
        Walks(
            offsets, neighbours, weights, settings.length, settings.rounds,
            settings.p, settings.q, settings.skip_gram.seed,
        )
    )  # fmt: skip
    return skip_gram(walks, walks.counts(len(offsets) - 1), settings.skip_gram)


class _Corpus:
    """Walks one by one, without what follows a dead end."""

    def __init__(self, walks: Walks) -> None:
        self.walks = walks

    def __iter__(self) -> Iterator[np.ndarray]:
        for one in self.walks:
            lengths = (one >= 0).sum(axis=1)
            yield from (row[:length] for row, length in zip(one, lengths.tolist(), strict=True))

    def counts(self, nodes: int) -> np.ndarray:
        """(nodes,) how often each is visited."""
        total = np.zeros(nodes, np.int64)
        for one in self.walks:
            total += np.bincount(one[one >= 0], minlength=nodes)
        return total
