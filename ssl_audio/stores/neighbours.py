"""Nearest neighbours in a feature store: exact for small ones, approximate (HNSW) for large."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.console import say
from ssl_audio.io.errors import SslAudioError
from ssl_audio.stores.feature_store import Stored, read_store

EXACT = 200_000  # tracks: a query is then one matrix product of 30 ms
BLOCK = 65_536  # rows scored at a time


@dataclass(frozen=True)
class Match:
    """A neighbour.

    Attributes:
        id, path: of the track.
        similarity: cosine, -1 to 1.
    """

    id: str
    path: str
    similarity: float


class Neighbours:
    """Search by cosine.

    Args:
        index: a store's file.
        approximate: use HNSW; None: for more than 200,000 tracks.

    Raises:
        SslAudioError: the store cannot be read, or usearch is missing.
    """

    def __init__(self, index: str | Path, approximate: bool | None = None) -> None:
        self.stored: Stored = read_store(index)
        norms = np.linalg.norm(self.stored.vectors, axis=1, keepdims=True)
        self.unit = self.stored.vectors / np.maximum(norms, 1e-12)
        self.row = {track: k for k, track in enumerate(self.stored.ids)}
        wanted = len(self.unit) > EXACT if approximate is None else approximate
        self.graph = _graph(Path(index), self.unit) if wanted else None

    def of_track(self, track: str, k: int) -> list[Match]:
        """The k tracks nearest to one of the store's, itself left out.

        Raises:
            SslAudioError: no such track.
        """
        if track not in self.row:
            raise SslAudioError(f"query={track}: no file of that name, and no track of the index")
        found = self.of_vector(self.unit[self.row[track]], k + 1)
        return [match for match in found if match.id != track][:k]

    def of_vector(self, vector: np.ndarray, k: int) -> list[Match]:
        """The k tracks nearest to a vector (dimensions,), the nearest first.

        Raises:
            SslAudioError: k below 1, or a vector of another length.
        """
        if k < 1:
            raise SslAudioError(f"k={k}: 1 or more")
        if vector.shape != self.unit.shape[1:]:
            raise SslAudioError(
                f"the index has {self.unit.shape[1]} dimensions, the query {vector.shape}"
            )
        unit = (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
        k = min(k, len(self.unit))
        rows, similarities = self._approximate(unit, k) if self.graph else self._exact(unit, k)
        return [
            Match(self.stored.ids[r], self.stored.paths[r], float(s))
            for r, s in zip(rows, similarities, strict=True)
        ]

    def _exact(self, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores = self.unit @ unit
        best = np.argpartition(-scores, k - 1)[:k]
        best = best[np.lexsort((best, -scores[best]))]
        return best, scores[best]

    def _approximate(self, unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        found = self.graph.search(unit, k)  # type: ignore[union-attr]
        return found.keys.astype(np.int64), 1.0 - found.distances


def _graph(index: Path, unit: np.ndarray) -> Any:
    """The HNSW graph of a store: built once, kept beside it, rebuilt when the store changes."""
    try:
        from usearch.index import Index
    except ImportError as error:
        raise SslAudioError(
            'approximate search: pip install "ssl_audio[search]", or approximate=false'
        ) from error
    stamp = f"{index.stat().st_size}:{index.stat().st_mtime_ns}:{unit.shape}"
    name = hashlib.sha256(stamp.encode()).hexdigest()[:16]
    kept = index.with_name(f"{index.name}.{name}.usearch")
    graph = Index(ndim=unit.shape[1], metric="cos", dtype="f16", connectivity=16,
                  expansion_add=128, expansion_search=128)  # fmt: skip
    if kept.exists():
        graph.load(str(kept))
        return graph
    say(f"building the graph of {len(unit)} tracks, once")
    graph.add(np.arange(len(unit)), unit, log=True)
    with atomic_file(kept) as temporary:
        graph.save(temporary)
    for old in index.parent.glob(f"{index.name}.*.usearch"):
        if old != kept:
            old.unlink()
    return graph
