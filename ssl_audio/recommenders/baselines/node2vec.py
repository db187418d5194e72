"""Node2Vec with p = 1, and DeepWalk, its case q = 1: skip-gram over random walks on the graph.

Grover and Leskovec 2016; Perozzi et al. 2014; MUSIG, section 4.2; M2GRL, section 5.1.2.

Input and output vectors are kept, whose inner products are what skip-gram trains: the cosine of two
input vectors is high between all nodes that are rarely visited, since each of these is pushed along
the mean of all output vectors alone. Frequent nodes are not subsampled, as in the authors' program:
on graphs of a few thousand nodes, gensim's default leaves out most visits of most nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ssl_audio.recommenders.baselines.walks import Walks
from ssl_audio.recommenders.baselines.word2vec import word2vec
from ssl_audio.recommenders.data.graph import TrackGraph, with_edges
from ssl_audio.recommenders.recommender import VectorRecommender
from ssl_audio.settings.baselines import Word2VecSettings

LENGTH, LENGTH_ON_SESSIONS = 80, 5  # nodes in a walk
ROUNDS = 10  # walks from each node
SKIP_GRAM = Word2VecSettings(epochs=5, window=10)
ON_SESSIONS = Word2VecSettings(window=5, negatives=7, epochs=4)  # M2GRL, section A.3


class Node2Vec(VectorRecommender):
    """Node2Vec over the graph of the data."""

    name = "Node2Vec"
    package = "gensim"
    q = 0.5

    def train(self, folder: Path) -> np.ndarray:
        length, chosen = LENGTH, SKIP_GRAM
        if self.data.in_sessions:
            length = LENGTH_ON_SESSIONS
            chosen = replace(ON_SESSIONS, dimensions=self.settings.m2grl.dimensions)
        graph = with_edges(self.data.graph)
        return node2vec_vectors(graph, self.q, length, chosen, self.settings.seed)


class DeepWalk(Node2Vec):
    """Node2Vec with q = 1."""

    name = "DeepWalk"
    q = 1.0


def node2vec_vectors(
    graph: TrackGraph, q: float, length: int, settings: Word2VecSettings, seed: int = 0
) -> np.ndarray:
    """(2, nodes, dimensions) float32 input and output vectors; 0 for a node without neighbours.

    `q` and `length` are those of `Walks`, at most 10,000 nodes long; `settings` are of the vectors.
    """
    corpus = _Corpus(Walks(graph, length, q, seed))
    return word2vec(corpus, corpus.counts(len(graph)), settings, seed)


class _Corpus:
    """Walks one by one; each epoch draws the same walks again, so that one round is in memory."""

    def __init__(self, walks: Walks) -> None:
        self.walks = walks

    def __iter__(self) -> Iterator[np.ndarray]:
        for number in range(ROUNDS):
            yield from self.walks.round(number)

    def counts(self, nodes: int) -> np.ndarray:
        """(nodes,) visits of each node."""
        rounds = (self.walks.round(number).ravel() for number in range(ROUNDS))
        counts = (np.bincount(visited, minlength=nodes) for visited in rounds)
        return sum(counts, np.zeros(nodes, np.int64))
