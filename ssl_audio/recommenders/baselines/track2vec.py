"""Track2Vec and plain skip-gram: Word2Vec over playlists, by gensim.

MUSIG, section 4.2; M2GRL, equations 1 to 3; Mikolov et al. 2013, "Distributed representations of
words and phrases".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.training_data import TrainingData
from ssl_audio.recommenders.recommender import VECTORS, VectorRecommender
from ssl_audio.recommenders.tables import BY_WEIGHTS, MAIN, Role
from ssl_audio.settings.recommend import RecommendSettings

MAX_LENGTH = 10_000  # positions of a list; gensim drops the others without a warning


@dataclass(frozen=True)
class Word2VecSettings:
    """How the vectors are trained.

    Attributes:
        dimensions: of a vector.
        window: max distance of a context, in positions.
        draw_windows: whether each centre draws its own window, from 1 to `window`.
        negatives: of each pair, drawn with probability proportional to count ** 0.75.
        epochs: passes over the lists.
        sample: share of all positions above which a track is subsampled; 0: no subsampling.
        learning_rate: at the start; it falls linearly to 1e-4.
        seed: of all random numbers.
    """

    dimensions: int = 128
    window: int = 5
    draw_windows: bool = True
    negatives: int = 5
    epochs: int = 10
    sample: float = 1e-3
    learning_rate: float = 0.025
    seed: int = 0


class Track2Vec(VectorRecommender):
    """Track2Vec; with a group of features, TRACK2VEC-FEATURE of MUSIG, section 4.2.

    Args:
        group: of the features that the vectors are concatenated with; "" for none.
    """

    name = "Track2Vec"

    def __init__(self, settings: RecommendSettings, data: TrainingData, group: str = "") -> None:
        super().__init__(settings, data)
        self.features = group
        if group:
            self.role = Role.REFERENCE

    def train(self, folder: Path) -> np.ndarray:
        kept = folder.parent / self.name.lower() / VECTORS
        if self.features and kept.exists():
            vectors = np.load(kept, allow_pickle=False)
        else:
            chosen = Word2VecSettings(seed=self.settings.seed)
            vectors = track2vec(self.data.train, self.data.tracks, chosen)
        if not self.features:
            return vectors
        return concatenated(
            vectors[0], self.data.features([self.features], self.settings.missing)[0]
        )


class SkipGram(VectorRecommender):
    """Skip-gram of items alone, with M2GRL's settings: all pairs within the window."""

    name = "SGNS, items alone"
    tables = (MAIN, BY_WEIGHTS)

    def train(self, folder: Path) -> np.ndarray:
        chosen = self.settings.m2grl
        return track2vec(self.data.train, self.data.tracks, Word2VecSettings(
            dimensions=chosen.dimensions, window=chosen.window, draw_windows=False,
            negatives=chosen.negatives, epochs=5, sample=0, seed=self.settings.seed,
        ))  # fmt: skip


def track2vec(playlists: Playlists, tracks: int, settings: Word2VecSettings) -> np.ndarray:
    """(2, tracks, dimensions) float32 input and output vectors; 0 for a track in no playlist.

    Raises:
        SslAudioError: gensim is missing, or no playlist holds a track.
    """
    counts = np.bincount(playlists.tracks, minlength=tracks)
    lists = [
        playlists.tracks[part : min(part + MAX_LENGTH, end)]
        for start, end in pairwise(playlists.offsets.tolist())
        for part in range(start, end, MAX_LENGTH)
    ]
    return word2vec(lists, counts, settings)


def concatenated(vectors: np.ndarray, features: np.ndarray) -> np.ndarray:
    """(tracks, d + others) float32: vectors (tracks, d) and features (tracks, others) in [0, 1].

    TRACK2VEC-FEATURE of MUSIG, section 4.2. The cosine weighs the parts by the products of their
    norms.
    """
    return np.concatenate([vectors, features], axis=1).astype(np.float32)


class _Sentences:
    """Lists of rows as the strings that gensim needs."""

    def __init__(self, lists: Iterable[np.ndarray], tracks: int) -> None:
        self.lists = lists
        self.names = np.array([str(k) for k in range(tracks)], object)

    def __iter__(self) -> Iterator[list[str]]:
        return (self.names[rows].tolist() for rows in self.lists)


def word2vec(
    lists: Iterable[np.ndarray], counts: np.ndarray, settings: Word2VecSettings
) -> np.ndarray:
    """Skip-gram vectors of the tracks of many lists, trained by one thread: reproducible.

    The vocabulary is given in the order of the rows, in which gensim draws the initial vectors, so
    that the result does not depend on hashes of strings (PYTHONHASHSEED).

    Args:
        lists: of rows, each list at most 10,000 long; iterated once an epoch.
        counts: (tracks,) occurrences of each track in the lists.
        settings: of the training.

    Returns:
        (2, tracks, dimensions) float32 input and output vectors; zero where the count is 0.

    Raises:
        SslAudioError: gensim is missing, or all counts are 0.
    """
    try:
        from gensim.models import Word2Vec
    except ImportError as error:
        raise SslAudioError("Word2Vec needs gensim: pip install 'ssl_audio[playlists]'") from error
    seen = np.flatnonzero(counts)
    if not len(seen):
        raise SslAudioError("no track to learn from: give playlists that are not empty")
    model = Word2Vec(
        vector_size=settings.dimensions, window=settings.window, negative=settings.negatives,
        shrink_windows=settings.draw_windows, sample=settings.sample, alpha=settings.learning_rate,
        seed=settings.seed, workers=1, sg=1, min_count=1,
    )  # fmt: skip
    model.build_vocab_from_freq({str(k): int(counts[k]) for k in seen})
    sentences, words = _Sentences(lists, len(counts)), int(counts.sum())
    model.train(sentences, total_words=words, epochs=settings.epochs)
    vectors = np.zeros((2, len(counts), settings.dimensions), np.float32)
    vectors[:, np.array(model.wv.index_to_key, np.int64)] = model.wv.vectors, model.syn1neg
    return vectors
