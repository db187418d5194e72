"""Search for tracks that sound alike in a feature store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.stores.feature_store import Stored, read_store
from ssl_audio.stores.neighbours import NeighbourIndex


@dataclass(frozen=True)
class Match:
    """A track near a query; the similarity is a cosine, -1 to 1."""

    id: str
    path: str
    similarity: float


def similar_tracks(
    path: Path, query: str, k: int, checkpoint: Path | None = None, approximate: bool | None = None
) -> list[Match]:
    """The k tracks of a store that are nearest to a query, by cosine, the nearest first.

    The graph of an approximate search is kept beside the store.

    Args:
        path: the store.
        query: id of one of its tracks, which is left out; or else an audio file.
        k: number of tracks.
        checkpoint: the encoder of the store, for a query by file; None: the one that it records.
        approximate: as in `NeighbourIndex`.

    Raises:
        SslAudioError: an unreadable store, a query that is neither, or another encoder.
    """
    stored = read_store(path)
    row = {track: k for k, track in enumerate(stored.ids)}.get(query)
    vector = _embedded(path, stored, query, checkpoint) if row is None else stored.vectors[row]
    graph = _graph_file(path)
    index = NeighbourIndex(stored.vectors, "cosine", approximate, graph)
    if index.graph is not None:
        for old in path.parent.glob(f"{path.name}.*.usearch"):
            if old != graph:
                old.unlink()
    (rows,), (similarities,) = index.nearest(vector[None], k + 1)
    found = [(r, s) for r, s in zip(rows.tolist(), similarities, strict=True) if r not in (row, -1)]
    return [Match(stored.ids[r], stored.paths[r], float(s)) for r, s in found[:k]]


def _embedded(path: Path, stored: Stored, query: str, checkpoint: Path | None) -> np.ndarray:
    """The embedding of an audio file by the encoder of a store."""
    if not _is_file(query):
        raise SslAudioError(f"query={query}: no such file, and no track of {path}")
    if stored.about.get("kind") != "embedding":
        raise SslAudioError(f"query={query}: {path} holds no embeddings; give the id of a track")
    from ssl_audio.models.encoder import load_encoder

    folder = checkpoint or stored.about["checkpoint"]
    encoder = load_encoder(folder)
    if encoder.weights_hash != stored.about["model"]:
        raise SslAudioError(f"{path} was made with another encoder than {folder}: give checkpoint=")
    return encoder.folded().embed_file(query, stored.about["hop"]).track


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # a name that is too long
        return False


def _graph_file(path: Path) -> Path:
    """The file of a store's graph; its name depends on the version of the store."""
    stat = path.stat()
    version = hashlib.sha256(f"2:{stat.st_size}:{stat.st_mtime_ns}".encode()).hexdigest()[:16]
    return path.with_name(f"{path.name}.{version}.usearch")
