"""Search by the graph of a store's vectors, which is kept with it and follows its changes.

A graph knows its vectors by the store's column `key`, a hash of id and vector: what the store has
and the graph has not is added, and the reverse removed. The graph is written under a name of its
own before the manifest that names it, so that a reader sees the state before or after.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ssl_audio.io.atomic import atomic_file, write_text
from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import first_line
from ssl_audio.io.files import file_sha256
from ssl_audio.io.json_file import read_json
from ssl_audio.io.lock import Busy, only_writer
from ssl_audio.io.progress import with_progress
from ssl_audio.stores.columns import keys_of
from ssl_audio.stores.feature_store import count_groups, read_vectors
from ssl_audio.stores.graph import Graph, unit, within_one

FORMAT = 1  # of the manifest, and of what a graph is made with
MANIFEST, LOCK, NEW = "manifest.json", "lock", "new.usearch"
_OURS = re.compile(rf"[0-9a-f]{{16}}\.usearch|{NEW}|\.({NEW}|{MANIFEST})\..*\.tmp")
MANY = 10_000  # vectors, whose addition takes long enough for a progress bar


@dataclass(frozen=True)
class _Manifest:
    format: int
    store: str  # version of the store
    graph: str  # name of the file
    sha256: str  # of the file
    dimensions: int


def has_graph(path: Path) -> bool:
    """Whether a graph is kept with a store."""
    return (index_folder(path) / MANIFEST).exists()


class _Unusable(ValueError):
    """There is no graph, or one that cannot be used; says why."""


def index_folder(path: Path) -> Path:
    """The folder of a store's graph: within the store's own, or beside a store of one file."""
    return path / "_index" if path.is_dir() else path.with_name(f"{path.name}.index")


class GraphSearch:
    """The tracks of a store that are nearest to a query by cosine, approximately.

    Args:
        version: `read_version` of the store, from before the rows were read.
        rows: those that can be found, with the columns `id` and `key`.

    Raises:
        SslAudioError: usearch is not installed, or the store is damaged.
    """

    def __init__(self, path: Path, version: str, rows: pa.Table) -> None:
        self._graph = _kept_graph(path, version, rows)
        keys = rows["key"].to_numpy()
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def nearest(
        self, queries: np.ndarray, count: int, vectors: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The nearest rows of each query, the nearest first.

        Args:
            queries: (queries, dimensions), 1 or more.
            count: rows per query, 1 or more.
            vectors: (rows, dimensions) of length 1, for exact similarities; None: those of the
                graph, which are rounded to 16 bits.

        Returns:
            (queries, min(count, vectors in the graph)) rows and similarities, -1 and -inf after
            the last that was found.
        """
        found = np.full((len(queries), min(count, len(self._graph))), -1, np.int64)
        scores = np.full(found.shape, -np.inf, np.float32)
        if not found.size:
            return found, scores
        for k, keys in enumerate(self._graph.nearest(queries, found.shape[1])):
            places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            there = self._keys[places] == keys  # the graph may be of another version of the store
            rows = self._order[places[there]]
            own = self._graph.vectors(keys[there]) if vectors is None else vectors[rows]
            similarities = within_one(own @ unit(queries[k : k + 1])[0])
            order = np.argsort(-similarities, kind="stable")
            found[k, : len(rows)], scores[k, : len(rows)] = rows[order], similarities[order]
        return found, scores


def _kept_graph(path: Path, version: str, rows: pa.Table) -> Graph:
    """The graph of a store's vectors, brought up to date; the arguments are `GraphSearch`'s."""
    folder, keys = index_folder(path), rows["key"].to_numpy()
    have = np.zeros(0, np.int64)
    reason, graph = "", None
    try:
        graph, up_to_date = _read(folder, version)
        if up_to_date:
            return graph
        have = graph.keys
    except _Unusable as error:
        reason = str(error)
    new, gone = np.setdiff1d(keys, have), np.setdiff1d(have, keys)
    if len(new) + len(gone) > len(keys) / 2:  # building anew is faster, and leaves no gaps
        graph, new, gone = None, np.unique(keys), have[:0]
    wanted = set(new.tolist())
    tracks = set(rows.filter(np.isin(keys, new))["id"].to_pylist())
    if graph is None:
        say(f"{reason + ': ' if reason else ''}building the graph of {len(keys)} vectors")
    else:
        say(f"updating the graph: {len(new)} vectors are added, {len(gone)} removed")
        graph.remove(gone)
    graph = _added(graph, path, tracks, wanted)
    try:
        _write(folder, version, graph)
    except (OSError, RuntimeError) as error:
        reason = first_line(error)
        warn(f"{folder} cannot be written, so the next search repeats this: {reason}")
    return graph


def _added(graph: Graph | None, path: Path, tracks: set[str], wanted: set[int]) -> Graph:
    """A graph, or a new one, with the vectors of some tracks whose keys are wanted."""
    groups = with_progress(
        read_vectors(path, [], tracks.__contains__), "graph", count_groups(path), "row groups",
        shown=len(tracks) > MANY,
    )  # fmt: skip
    for table, vectors in groups:
        graph = graph or Graph(vectors.shape[1])
        keys = keys_of(table["id"].to_pylist(), vectors)
        usable = np.isfinite(vectors).all(axis=1)
        chosen = []
        for row, key in enumerate(keys.tolist()):
            if usable[row] and key in wanted:
                wanted.discard(key)
                chosen.append(row)
        graph.add(keys[chosen], vectors[chosen])
    return graph or Graph(1)


def _read(folder: Path, version: str) -> tuple[Graph, bool]:
    """The graph, and True if it is of this version of the store."""
    while True:
        known = _read_manifest(folder)
        up_to_date = known.store == version
        try:
            return _read_graph(folder, known, mapped=up_to_date), up_to_date
        except _Unusable:
            if known == _read_manifest(folder):  # else another process has just replaced it
                raise


def _read_manifest(folder: Path) -> _Manifest:
    path = folder / MANIFEST
    try:
        known = _Manifest(**read_json(path))
    except FileNotFoundError as error:
        raise _Unusable("") from error
    except (OSError, ValueError, TypeError) as error:
        raise _Unusable(f"{path} is damaged") from error
    if known.format != FORMAT:
        raise _Unusable(f"{folder} is of another version")
    return known


def _read_graph(folder: Path, known: _Manifest, mapped: bool) -> Graph:
    """The graph that a manifest names, if its file is the one that was written."""
    path = folder / Path(known.graph).name
    try:
        if file_sha256(path) != known.sha256:
            raise _Unusable(f"{path} is damaged")
        graph = Graph(known.dimensions)
        graph.load(path, mapped)
    except (OSError, RuntimeError) as error:
        raise _Unusable(f"{path} cannot be read ({first_line(error)})") from error
    return graph


def _write(folder: Path, version: str, graph: Graph) -> None:
    """Write a graph, then its manifest; remove what was there before of this module's files.

    Raises:
        OSError, RuntimeError: it cannot be written.
    """
    try:
        lock = only_writer(folder, LOCK)
    except Busy:  # with the same
        return
    with lock:
        with atomic_file(folder / NEW) as temporary:
            graph.save(temporary)
        digest = file_sha256(folder / NEW)
        name = f"{digest[:16]}.usearch"
        os.replace(folder / NEW, folder / name)
        known = _Manifest(FORMAT, version, name, digest, graph.dimensions)
        write_text(folder / MANIFEST, json.dumps(asdict(known), indent=2) + "\n")
        for path in folder.iterdir():
            if _OURS.fullmatch(path.name) and path.name != name:
                path.unlink()
