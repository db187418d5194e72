"""The tracks of a catalogue: listed from a source, computed by an engine, kept in a store."""

from __future__ import annotations

import csv
import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_audio.audio.sources import LIST_SUFFIXES, list_audio
from ssl_audio.io.atomic import write_text
from ssl_audio.io.console import say
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.io.files import file_sha256, printable, regular_size
from ssl_audio.io.progress import with_progress
from ssl_audio.stores.feature_store import Row
from ssl_audio.stores.writer import Store


class Item(NamedTuple):
    """A track: its id in the store, and its file."""

    id: str
    path: Path


class Failure(NamedTuple):
    """A track without a result, and why."""

    id: str
    path: str
    reason: str


Items = list[Item] | Iterator[Item]  # of unknown number where they are read from standard input


def list_items(source: Path) -> Items:
    """The tracks of a folder, of a list (.txt, .csv, .parquet), of a file, or of "-".

    An id is the path relative to the folder, or to the folder of the list; a path outside of it is
    its own id. "-" is a path per line of standard input, read as they come.

    Raises:
        SslAudioError: no such source, or no audio in it.
    """
    if str(source) == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
        lines = (line.rstrip("\r\n") for line in sys.stdin)
        return (Item(printable(name), Path(name)) for name in lines if name)
    if os.path.isfile(source) and source.suffix.lower() not in LIST_SUFFIXES:
        return [Item(printable(source.name), source)]
    source = Path(os.path.abspath(source))
    root = source if os.path.isdir(source) else source.parent
    paths = (Path(found.path) for found in list_audio(source))
    return [Item(_id(path, root), path) for path in paths]


def _id(path: Path, root: Path) -> str:
    """The path relative to the root, the same on every machine; else the path itself."""
    for base in (root, root.resolve()):
        if path.is_relative_to(base):
            return printable(path.relative_to(base).as_posix())
    return printable(str(path))


@dataclass(frozen=True)
class Analysis:
    """The features of one track."""

    duration: float  # seconds
    vector: np.ndarray  # (dimensions,)
    segments: np.ndarray | None = None  # (n, dimensions)
    times: np.ndarray | None = None  # (n,) seconds
    note: str = ""  # on its audio: "silent", ...


def row_of(item: Item, analyse: Callable[[Path], Analysis]) -> Row | Failure:
    """The row of a track, or why there is none."""
    path = printable(str(item.path))
    try:
        regular_size(item.path)
        digest = file_sha256(item.path)
        found = analyse(item.path)
    except OSError as error:
        return Failure(item.id, path, f"{path}: {error.strerror or error}")
    except AudioError as error:
        return Failure(item.id, path, str(error))
    if not np.isfinite(found.vector).all():
        return Failure(item.id, path, "its features are not finite")
    return Row(item.id, path, found.duration, digest, found.vector, found.segments, found.times)


@dataclass
class Summary:
    """The outcome of one run."""

    output: Path  # the store
    failures_path: Path  # table of the failed tracks; it exists if there are any
    kept: int  # tracks that the store had before
    rows: int = 0  # tracks that this run added
    audio_seconds: float = 0.0  # their duration
    elapsed: float = 0.0  # seconds
    failures: list[Failure] = field(default_factory=list)
    total: int = 0  # tracks in the store

    def lines(self) -> list[str]:
        """What a command prints at its end."""
        rate = self.rows / self.elapsed if self.elapsed else 0.0
        hours = self.audio_seconds / 3600
        lines = [f"{self.rows} tracks ({hours:.2f} hours) in {self.elapsed:.0f} s, "
                 f"{rate:.1f} per second"]  # fmt: skip
        if self.kept:
            lines.append(f"{self.kept} tracks were there before")
        if self.failures:
            lines.append(f"{len(self.failures)} files failed: {self.failures_path}")
        return [*lines, f"{self.total} tracks: {self.output}"]


def missing(items: Items, finished: set[str]) -> Items:
    """The tracks that are not finished; of several with one id, the first."""
    seen: set[str] = set()

    def is_new(item: Item) -> bool:
        new = item.id not in seen and item.id not in finished
        seen.add(item.id)
        return new

    rest = filter(is_new, items)
    return list(rest) if isinstance(items, list) else rest


def fill_store(
    store: Store, results: Iterable[Row | Failure], total: int | None, title: str, failures: Path
) -> Summary:
    """Add results to a store as they come, and close it.

    Args:
        store: has none of the tracks.
        results: one per track, computed lazily.
        total: number of tracks; None if unknown.
        title: shown before the progress bar.
        failures: table of the failed tracks, written anew.

    Raises:
        SslAudioError: the store has no track in the end.
    """
    summary = Summary(store.output, failures, len(store.finished))
    if summary.kept:
        say(f"{store.output}: resuming after {summary.kept} tracks")
    started = time.monotonic()
    try:
        for result in with_progress(results, title, total):
            if isinstance(result, Failure):
                summary.failures.append(result)
            else:
                store.add(result)
                summary.rows += 1
                summary.audio_seconds += result.duration
    except KeyboardInterrupt:
        store.flush()
        say(f"{len(store.finished)} tracks are in {store.parts}; the same command resumes")
        raise
    summary.elapsed = time.monotonic() - started
    write_failures(failures, summary.failures)
    summary.total = store.close()
    if not summary.total:
        raise SslAudioError(f"none of the files can be read: see {failures}")
    return summary


def write_failures(path: Path, failures: list[Failure]) -> None:
    """Write id, path and reason of each failed track as CSV; without any, remove the file."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "path", "reason"])
    writer.writerows(failures)
    write_text(path, text.getvalue())
