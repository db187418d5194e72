"""An HNSW graph over vectors (usearch): their approximate nearest neighbours by angle."""

from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.errors import SslAudioError

STORAGE = "f16"  # numbers of the vectors
EXPANSION = 256  # candidates that a search examines; more find more of the nearest


class Graph:
    """A graph whose vectors are added and removed under keys.

    Raises:
        SslAudioError: usearch is not installed.
    """

    def __init__(self, dimensions: int) -> None:
        try:
            from usearch.index import Index
        except ImportError as error:
            install = 'pip install "ssl_audio[search]", or give approximate=false'
            raise SslAudioError(f"approximate search needs usearch: {install}") from error
        self._index: Any = Index(
            ndim=dimensions, metric="cos", dtype=STORAGE, connectivity=32,
            expansion_add=EXPANSION, expansion_search=EXPANSION,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._index)

    @property
    def dimensions(self) -> int:
        return int(self._index.ndim)

    @property
    def keys(self) -> np.ndarray:
        """(n,) int64, in no order."""
        return np.asarray(self._index.keys[:], np.int64)

    def add(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Add vectors: (n,) keys that the graph does not have, 0 or more, and (n, dimensions)."""
        if len(keys):
            self._index.add(keys, vectors)

    def remove(self, keys: np.ndarray) -> None:
        """Remove vectors; their places are used for those that are added later."""
        if len(keys):
            self._index.remove(keys)

    def nearest(self, queries: np.ndarray, count: int) -> np.ndarray:
        """(queries, count) keys of the nearest vectors, -1 after the last that was found.

        Args:
            queries: (queries, dimensions), 1 or more.
            count: 1 or more.
        """
        examined = max(EXPANSION, 2 * count)
        self._index.expansion_search = examined
        rows = np.full((len(queries), count), -1, np.int64)
        # links lead to most vectors, not to all: instead of half of them or more, all are examined
        found = self._index.search(queries, count, exact=2 * examined >= len(self))
        for row, one in zip(rows, [found] if len(queries) == 1 else found, strict=True):
            row[: len(one.keys)] = one.keys
        return rows

    def vectors(self, keys: np.ndarray) -> np.ndarray:
        """(n, dimensions) float32 of (n,) keys that the graph has, of length 1."""
        return unit(np.stack(self._index.get(keys)))

    def save(self, path: str) -> None:
        self._index.save(path)

    def load(self, path: Path, mapped: bool = False) -> None:
        """Read a saved graph; mapped into memory, it cannot be changed.

        Raises:
            RuntimeError: it is damaged. This is not always noticed: compare a hash first.
        """
        (self._index.view if mapped else self._index.load)(str(path))


def within_one(cosines: np.ndarray) -> np.ndarray:
    """Cosines without the rounding that leads out of [-1, 1]; -inf, for none, stays."""
    return np.where(np.isneginf(cosines), cosines, np.clip(cosines, -1.0, 1.0))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1, float32."""
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
