"""Track2Vec: skip-gram with negative sampling (Word2Vec) over playlists, by gensim.

MUSIG, section 4.2; Mikolov et al. 2013, "Distributed representations of words and phrases".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists

LONGEST = 10_000  # positions: gensim silently drops what a list has beyond


@dataclass(frozen=True)
class Word2VecSettings:
    """How the vectors are trained.

    Attributes:
        dimensions: of a vector.
        window: reach to either side, in positions; the reach of each is drawn from 1 to this.
        negative: random tracks against each pair, drawn by frequency ** 0.75.
        epochs: passes over the lists; vectors take shape after about 1,000 visits to each track,
            over all epochs, so small collections need more.
        sample: share of all positions above which a track is thinned out; 0 thins out none, which a
            catalogue of less than some thousand tracks needs.
        seed: of all that is random.
        workers: threads; results are reproducible with 1 only, since more write over each other.
    """

    dimensions: int = 128
    window: int = 5
    negative: int = 5
    epochs: int = 10
    sample: float = 1e-3
    seed: int = 0
    workers: int = 1


def track2vec(
    playlists: Playlists, tracks: int, settings: Word2VecSettings | None = None
) -> np.ndarray:
    """(tracks, dimensions) float32 vectors; zero for a track that is in no playlist.

    Args:
        playlists: to train on.
        tracks: in the catalogue.
        settings: None is the defaults.

    Raises:
        SslAudioError: gensim is missing, or there is no playlist to train on.
    """
    counts = np.bincount(playlists.tracks, minlength=tracks)
    return skip_gram(_Lists(playlists), counts, settings or Word2VecSettings())


class _Lists:
    """The playlists' tracks, list by list, as often as asked; long ones in parts."""

    def __init__(self, playlists: Playlists) -> None:
        self.playlists = playlists

    def __len__(self) -> int:
        return int(np.ceil(self.playlists.lengths / LONGEST).sum())

    def __iter__(self) -> Iterator[np.ndarray]:
        tracks, offsets = self.playlists.tracks, self.playlists.offsets
        for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            for part in range(start, end, LONGEST):
                yield tracks[part : min(part + LONGEST, end)]


class _Sentences:
    """Lists of rows as the strings that gensim knows them by."""

    def __init__(self, lists: Iterable[np.ndarray], tracks: int) -> None:
        self.lists = lists
        self.names = np.array([str(k) for k in range(tracks)], object)

    def __iter__(self) -> Iterator[list[str]]:
        return (self.names[rows].tolist() for rows in self.lists)


def skip_gram(
    lists: Iterable[np.ndarray], counts: np.ndarray, settings: Word2VecSettings
) -> np.ndarray:
    """Skip-gram vectors of the tracks of many lists.

    The vocabulary is given in the order of the rows and gensim draws the first vectors in that
    order, so that the result depends on no hash of a string (PYTHONHASHSEED).

    Args:
        lists: of rows, each list at most 10,000 long; sized, and iterated once an epoch.
        counts: (tracks,) how often each track is in the lists.
        settings: of the training.

    Returns:
        (tracks, dimensions) float32; zero where the count is 0.

    Raises:
        SslAudioError: gensim is missing, or all counts are 0.
    """
    try:
        from gensim.models import Word2Vec
    except ImportError as error:
        raise SslAudioError(
            "Track2Vec and Node2Vec need gensim: pip install 'ssl_audio[playlists]'"
        ) from error
    seen = np.flatnonzero(counts)
    if not len(seen):
        raise SslAudioError("no track to learn from: give playlists that are not empty")
    model = Word2Vec(
        vector_size=settings.dimensions, window=settings.window, negative=settings.negative,
        sample=settings.sample, seed=settings.seed, workers=settings.workers, sg=1, min_count=1,
    )  # fmt: skip
    model.build_vocab_from_freq({str(k): int(counts[k]) for k in seen})
    model.train(
        _Sentences(lists, len(counts)), total_words=int(counts.sum()), epochs=settings.epochs
    )
    vectors = np.zeros((len(counts), settings.dimensions), np.float32)
    vectors[np.array(model.wv.index_to_key, np.int64)] = model.wv.vectors
    return vectors


def concatenated(vectors: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Vectors with features beside them: TRACK2VEC-FEATURE of MUSIG, section 4.2.

    The paper concatenates "the normalized features" to "the final embeddings" and says no more. A
    cosine weighs the parts by the product of their norms, so features in 0 to 1, which are nowhere
    negative, make all tracks more alike.

    Args:
        vectors: (tracks, dimensions).
        features: (tracks, others), 0 to 1.

    Returns:
        (tracks, dimensions + others) float32.

    Raises:
        ValueError: the two have not as many rows.
    """
    if len(vectors) != len(features):
        raise ValueError(f"{len(vectors)} vectors, {len(features)} rows of features")
    return np.concatenate([vectors, features], axis=1).astype(np.float32)
