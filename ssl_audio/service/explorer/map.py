"""The map of a catalogue: its tracks in two dimensions, as the browser reads it.

The map is computed once for each version of a store and kept beside it, as
`NAME.parquet.map.json.gz`: what `/map` answers, already compressed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_audio.io.atomic import write_bytes
from ssl_audio.io.console import warn
from ssl_audio.reports.drawing import SERIES
from ssl_audio.reports.projection import method_for, project

FORMAT = 2
STEPS = 65_535  # coordinates are integers from 0 to this
OTHER = "other"
MAX_GROUPS = len(SERIES) - 2  # with a colour of their own; then "other"; the last is that of text


@dataclass(frozen=True)
class Points:
    """The tracks that a map shows."""

    ids: Sequence[str]
    vectors: np.ndarray  # (tracks, dimensions); tracks that are not finite are left out
    colourings: dict[str, Sequence[str]]  # by name of a colouring, the group of each track


def folders(ids: Sequence[str]) -> list[str]:
    """The folder of each track, at the first level where tracks lie in several."""
    parts = [track.split("/")[:-1] for track in ids]
    level, shortest = 0, min(map(len, parts), default=0)
    while level < shortest and len({own[level] for own in parts}) == 1:
        level += 1
    return [own[level] if level < len(own) else "" for own in parts]


def map_json(points: Points, version: str, preview: Callable[[bytes], None] | None = None) -> bytes:
    """A map as JSON of columns: `ids`, `x` and `y` from 0 to 65535, the groups of each colouring.

    `preview` is called with the map by principal components, where the projection takes longer. A
    colouring has the names of its largest groups and then "other" where there are more, and of
    each track the number of its group. A colouring with one group is left out.
    """
    there = np.isfinite(points.vectors).all(1)
    shown = np.flatnonzero(there).tolist()
    vectors = points.vectors if there.all() else points.vectors[there]
    colourings = []
    for name, groups in points.colourings.items():
        names, numbers = _numbered([groups[row] for row in shown])
        if len(names) > 1:
            colourings.append({"name": name, "groups": names, "values": numbers})

    def text(places: np.ndarray, method: str) -> bytes:
        x, y = _scaled(places).T
        columns = {
            "method": method, "ids": [points.ids[row] for row in shown],
            "x": x.tolist(), "y": y.tolist(), "colourings": colourings,
        }  # fmt: skip
        written = json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
        return _start(version) + written[1:].encode("utf-8", "replace")

    if not shown:
        return text(np.zeros((0, 2)), "")
    first = None if preview is None else lambda places: preview(text(places, "PCA"))
    return text(*project(vectors, preview=first))


def _start(version: str) -> bytes:
    """The first bytes of the map of a version."""
    return f'{{"version":"{version}",'.encode()


def _scaled(places: np.ndarray) -> np.ndarray:
    """Coordinates as integers, 0 to `STEPS` in each dimension."""
    if not len(places):
        return places.astype(int)
    low, high = places.min(0), places.max(0)
    middle = (places - low) / np.where(high > low, high - low, 1)
    return np.rint(np.where(high > low, middle, 0.5) * STEPS).astype(int)


def _numbered(groups: Sequence[str]) -> tuple[list[str], list[int]]:
    """Names of the largest groups, and the number of each track's; the last is "other"."""
    counts = sorted(Counter(groups).items(), key=lambda item: (-item[1], item[0]))
    most = MAX_GROUPS if len(counts) > MAX_GROUPS else len(counts)
    number = {name: k for k, (name, _) in enumerate(counts[:most])}
    names = [*number, *([OTHER] if len(counts) > most else [])]
    return names, [number.get(group, most) for group in groups]


def map_file(store: Path) -> Path:
    """The file of a store's map."""
    return store.with_name(f"{store.name}.map.json.gz")


def cached_map(
    store: Path, version: str, points: Points, preview: Callable[[bytes], None] | None = None
) -> bytes:
    """The map of a store, compressed: from its file, or computed and written to it.

    A file that is damaged or of another version is written again; where the folder cannot be
    written to, the map is not kept.
    """
    path = map_file(store)
    key = [FORMAT, version, method_for(*points.vectors.shape), points.colourings]
    version = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    with suppress(OSError, EOFError, zlib.error):
        content = path.read_bytes()
        if gzip.decompress(content).startswith(_start(version)):
            return content
    content = _compressed(map_json(points, version, preview))
    try:
        write_bytes(path, content)
    except OSError as error:
        warn(f"the map cannot be kept at {path}: {error.strerror}")
    return content


def _compressed(text: bytes) -> bytes:
    return gzip.compress(text, 6, mtime=0)


class Answer:
    """A map as it is sent, compressed by gzip."""

    def __init__(self, content: bytes) -> None:
        self.content, self.etag = content, f'"{hashlib.sha256(content).hexdigest()[:20]}"'


class MapMaker:
    """The map of the current version of a store, made in the background when first asked for.

    Attributes:
        preview: the map by principal components, while the other one is computed; None before.
    """

    def __init__(self) -> None:
        self.preview: Answer | None = None
        self._lock = threading.Lock()
        self._version = ""
        self._made: Answer | None = None
        self._failed: Exception | None = None

    def get(self, version: str, store: Path, points: Callable[[], Points]) -> Answer | None:
        """The map; None while it is computed.

        Raises:
            Exception: what stopped the computation; the next call starts it again.
        """
        with self._lock:
            if self._version != version:
                self._version, self._made, self._failed = version, None, None
                self.preview = None
                arguments = (version, store, points)
                threading.Thread(target=self._make, args=arguments, daemon=True).start()
            if self._failed is not None:
                self._version, failed = "", self._failed
                raise failed
            return self._made

    def _make(self, version: str, store: Path, points: Callable[[], Points]) -> None:
        def show(text: bytes) -> None:
            self._set(version, preview=Answer(_compressed(text)))

        try:
            self._set(version, made=Answer(cached_map(store, version, points(), show)))
        except Exception as error:
            self._set(version, failed=error)

    def _set(
        self, version: str, made: Answer | None = None, preview: Answer | None = None,
        failed: Exception | None = None,
    ) -> None:  # fmt: skip
        with self._lock:
            if self._version == version:
                self._made, self.preview, self._failed = made, preview, failed
