"""Node2Vec, and DeepWalk as its case p = q = 1: skip-gram over random walks on the track graph.

Grover and Leskovec 2016; Perozzi et al. 2014; MUSIG, section 4.2; M2GRL, section 5.1.2.

Input and output vectors are kept, whose inner products are what skip-gram trains: the cosine of two
input vectors is high between all nodes that are rarely visited, since each of these is pushed along
the mean of all output vectors alone. Frequent nodes are not subsampled, as in the authors' program:
on graphs of a few thousand nodes, gensim's default leaves out most visits of most nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.baselines.walks import Walks
from ssl_audio.recommenders.baselines.word2vec import word2vec
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.recommender import VectorRecommender
from ssl_audio.settings.baselines import Word2VecSettings


@dataclass(frozen=True)
class Node2VecSettings:
    """How walks are made and vectors trained on them.

    Attributes:
        length: nodes in a walk, its first included, at most 10,000.
        rounds: walks from each node.
        p, q: of the walks; both 1 is DeepWalk.
        skip_gram: of the vectors.
    """

    length: int = 80
    rounds: int = 10
    p: float = 1.0
    q: float = 0.5
    skip_gram: Word2VecSettings = Word2VecSettings(epochs=5, window=10, sample=0)


ON_SESSIONS = Node2VecSettings(  # M2GRL, section A.3
    length=5, skip_gram=Word2VecSettings(window=5, negatives=7, epochs=4, sample=0)
)  # fmt: skip


class Node2Vec(VectorRecommender):
    """Node2Vec over the graph of the data."""

    name = "Node2Vec"
    package = "gensim"
    q = 0.5

    def train(self, folder: Path) -> np.ndarray:
        chosen = Node2VecSettings()
        if self.data.in_sessions:
            dimensions = self.settings.m2grl.dimensions
            skip_gram = replace(ON_SESSIONS.skip_gram, dimensions=dimensions)
            chosen = replace(ON_SESSIONS, skip_gram=skip_gram)
        return node2vec_vectors(self.data.graph, replace(chosen, q=self.q), self.settings.seed)


class DeepWalk(Node2Vec):
    """Node2Vec with q = 1."""

    name = "DeepWalk"
    q = 1.0


def node2vec_vectors(graph: TrackGraph, settings: Node2VecSettings, seed: int = 0) -> np.ndarray:
    """(2, nodes, dimensions) float32 input and output vectors; 0 for a node without neighbours.

    Raises:
        SslAudioError: the graph has no edge.
    """
    if not len(graph.neighbours):
        raise SslAudioError("the track graph has no edge: lower graph.min_weight")
    walks = Walks(graph, settings.length, settings.p, settings.q, seed)
    corpus = _Corpus(walks, settings.rounds)
    return word2vec(corpus, corpus.counts(len(graph)), settings.skip_gram, seed)


class _Corpus:
    """Walks one by one; each epoch draws the same walks again, so that one round is in memory."""

    def __init__(self, walks: Walks, rounds: int) -> None:
        self.walks, self.rounds = walks, rounds

    def __iter__(self) -> Iterator[np.ndarray]:
        for number in range(self.rounds):
            walks = self.walks.round(number)
            lengths = (walks >= 0).sum(axis=1).tolist()
            yield from (walk[:length] for walk, length in zip(walks, lengths, strict=True))

    def counts(self, nodes: int) -> np.ndarray:
        """(nodes,) visits of each node."""
        total = np.zeros(nodes, np.int64)
        for number in range(self.rounds):
            walks = self.walks.round(number)
            total += np.bincount(walks[walks >= 0], minlength=nodes)
        return total
