"""Search in a store by cosine: exact, row group by row group, or by the graph kept with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ssl_audio.stores.feature_store import (
    Chosen,
    count_rows,
    read_completed,
    read_schema,
    read_vectors,
    read_version,
)
from ssl_audio.stores.kept_graph import GraphSearch
from ssl_audio.stores.neighbours import MAX_EXACT, NeighbourIndex

DELETED = "deleted"  # the state of rows whose file is gone


class Match(NamedTuple):
    """A track near a query."""

    id: str
    path: str
    similarity: float  # cosine, -1 to 1


def nearest_tracks(
    path: Path, queries: np.ndarray, count: int, approximate: bool | None = None,
    prefix: str = "", deleted: bool = False,
) -> list[list[Match]]:  # fmt: skip
    """The tracks of a store that are nearest to each query, the nearest first.

    An exact search reads the store once, and memory holds one row group of it.

    Args:
        queries: (queries, dimensions), 1 or more, of the store's dimensions.
        count: tracks per query, 1 or more.
        approximate: search by a graph; None: in stores of more than 200,000 tracks. A search with
            `prefix` or `deleted` is exact.
        prefix: of the ids that are searched.
        deleted: search rows too whose file is gone.

    Raises:
        SslAudioError: a damaged store, or usearch, which a graph needs, is not installed.
    """
    if approximate is None:
        approximate = count_rows(path) > MAX_EXACT
    if approximate and not prefix and not deleted:
        return StoreGraph(path).nearest(queries, count)
    return _exact(path, queries, count, prefix, deleted)


def _exact(
    path: Path, queries: np.ndarray, count: int, prefix: str, deleted: bool
) -> list[list[Match]]:
    best: list[list[Match]] = [[] for _ in queries]
    chosen: Chosen | None = (lambda track: track.startswith(prefix)) if prefix else None
    for table, vectors in usable_vectors(path, chosen, deleted):
        found = _matches(table, *NeighbourIndex(vectors, "cosine").nearest(queries, count))
        best = [
            sorted(one + other, key=lambda match: -match.similarity)[:count]
            for one, other in zip(best, found, strict=True)
        ]
    return best


def usable_vectors(
    path: Path, chosen: Chosen | None = None, deleted: bool = False
) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """The row groups of a store with `id` and `path`, and their vectors, (rows, dimensions).

    Vectors that are not finite are left out, as are rows whose file is gone unless `deleted`.
    """
    schema = read_schema(path)
    state = ["state"] if schema is not None and "state" in schema.names else []
    for table, vectors in read_vectors(path, ["path", *state], chosen):
        usable = np.isfinite(vectors).all(axis=1)
        if state and not deleted:
            usable &= not_deleted(table)
        if usable.any():
            yield table.filter(pa.array(usable)), vectors[usable]


def not_deleted(table: pa.Table) -> np.ndarray:
    """(rows,) bool: True where the file of a row is not gone; needs the column `state`."""
    return ~pc.equal(table["state"], DELETED).fill_null(False).to_numpy()


def _matches(table: pa.Table, rows: np.ndarray, scores: np.ndarray) -> list[list[Match]]:
    """Rows of a table, (queries, n) with their similarities, as matches; row -1 is none."""
    used = np.unique(rows[rows >= 0])
    taken = table.take(pa.array(used))
    ids, paths = (
        dict(zip(used.tolist(), taken[key].to_pylist(), strict=True)) for key in ("id", "path")
    )
    return [
        [Match(ids[row], paths[row], s) for row, s in zip(*query, strict=True) if row >= 0]
        for query in zip(rows.tolist(), scores.tolist(), strict=True)
    ]


class StoreGraph:
    """The graph of a store, opened once for many queries; rows marked deleted are not found.

    Args:
        path: the store; its graph is built or brought up to date first.

    Raises:
        SslAudioError: a damaged store, or usearch is not installed.
    """

    def __init__(self, path: Path) -> None:
        version = read_version(path)  # before the rows, which may change meanwhile
        groups = read_completed(path, ["id", "path", "state", "key"])
        tables = [group.filter(pa.array(not_deleted(group))) for group in groups]
        self._table = pa.concat_tables(tables) if tables else None
        if self._table is not None and self._table.num_rows:
            self._search = GraphSearch(path, version, self._table)

    def nearest(self, queries: np.ndarray, count: int) -> list[list[Match]]:
        """The tracks that are nearest to each query: see `nearest_tracks`."""
        if self._table is None or not self._table.num_rows:
            return [[] for _ in queries]
        return _matches(self._table, *self._search.nearest(queries, count))
