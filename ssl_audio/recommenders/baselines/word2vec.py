"""Skip-gram with negative sampling over lists of rows, by gensim.

Mikolov et al. 2013, "Distributed representations of words and phrases".
"""

from collections.abc import Iterable, Iterator

import numpy as np

from ssl_audio.settings.baselines import Word2VecSettings


class _Sentences:
    """Lists of rows as the strings that gensim needs."""

    def __init__(self, lists: Iterable[np.ndarray], tracks: int) -> None:
        self.lists = lists
        self.names = np.array([str(k) for k in range(tracks)], object)

    def __iter__(self) -> Iterator[list[str]]:
        return (self.names[rows].tolist() for rows in self.lists)


def word2vec(
    lists: Iterable[np.ndarray], counts: np.ndarray, settings: Word2VecSettings, seed: int = 0
) -> np.ndarray:
    """Skip-gram vectors of the tracks of many lists, trained by one thread: reproducible.

    The vocabulary is given in the order of the rows, in which gensim draws the initial vectors, so
    that the result does not depend on hashes of strings (PYTHONHASHSEED).

    Args:
        lists: of rows, each list at most 10,000 long; iterated once an epoch.
        counts: (tracks,) occurrences of each track in the lists.

    Returns:
        (2, tracks, dimensions) float32 input and output vectors; zero where the count is 0.
    """
    from gensim.models import Word2Vec  # takes a second to import

    seen = np.flatnonzero(counts)
    model = Word2Vec(
        vector_size=settings.dimensions, window=settings.window, negative=settings.negatives,
        shrink_windows=settings.draw_windows, sample=settings.sample, alpha=settings.learning_rate,
        seed=seed, workers=1, sg=1, min_count=1,
    )  # fmt: skip
    model.build_vocab_from_freq({str(k): int(counts[k]) for k in seen})
    sentences, words = _Sentences(lists, len(counts)), int(counts.sum())
    model.train(sentences, total_words=words, epochs=settings.epochs)
    vectors = np.zeros((2, len(counts), settings.dimensions), np.float32)
    vectors[:, np.array(model.wv.index_to_key, np.int64)] = model.wv.vectors, model.syn1neg
    return vectors
