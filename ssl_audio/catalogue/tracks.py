"""The tracks of a source, and how an engine turns each into a row or a failure."""

import hashlib
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple, Protocol

import numpy as np

from ssl_audio.audio.isolated import TEMPORARY
from ssl_audio.audio.sources import LIST_SUFFIXES, SUFFIXES, list_audio
from ssl_audio.io.errors import AudioError, SslAudioError, named, reason_of
from ssl_audio.io.files import AnyPath, file_sha256, printable, regular_size
from ssl_audio.io.remote import Url, local_copy, remote_files, remote_stamp
from ssl_audio.stores.columns import Row
from ssl_audio.stores.failures import Failure


class Fingerprint(NamedTuple):
    """What changes with a file's content, read without opening it."""

    size: int  # bytes
    mtime_ns: int  # time of the last change, nanoseconds since 1970


class Item(NamedTuple):
    """A track: its id in the store, and its file."""

    id: str
    path: AnyPath  # or a `Url`
    listed: Fingerprint | None = None  # of the file, where the list of a folder has it


Items = list[Item] | Iterator[Item]  # of unknown number where they are read from standard input


class Engine(Protocol):
    """What computes the rows of tracks."""

    @property
    def runtime(self) -> str:
        """What the network runs on; "" without a network."""

    def rows(self, items: Iterable[Item]) -> Iterator[Row | Failure]:
        """One result for each track, in their order, computed lazily."""


def list_items(source: Path | Url, shard: tuple[int, int] = (1, 1)) -> Items:
    """The tracks of a folder, of a list (.txt, .csv, .parquet), of a file, of a URL, or of "-".

    An id is the path relative to the folder, or to the folder of the list; a path outside of it is
    its own id. "-" is a path per line of standard input, read as they come.

    Args:
        shard: number, from 1, and count: only the tracks of this part, chosen by a hash of the id.

    Raises:
        SslAudioError: no such source, or no audio in it.
    """
    if isinstance(source, Url):
        return [item for item in _remote_items(source) if in_shard(item.id, shard)]
    if str(source) == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
        lines = (line.rstrip("\r\n") for line in sys.stdin)
        named = (Item(printable(name), Path(os.path.abspath(name))) for name in lines if name)
        return filter(lambda item: in_shard(item.id, shard), named)
    source = Path(os.path.abspath(source))
    if os.path.isfile(source) and source.suffix.lower() not in LIST_SUFFIXES:
        items = [Item(printable(source.name), source)]
    else:
        root = source if os.path.isdir(source) else source.parent
        roots = [os.path.join(folder, "") for folder in (root, os.path.realpath(root))]
        items = [Item(_id(found.path, roots), Path(found.path)) for found in list_audio(source)]
    return [item for item in items if in_shard(item.id, shard)]


def _remote_items(source: Url) -> list[Item]:
    """The tracks at a URL; hidden files are left out, as `find_audio` does."""
    if Path(source.name).suffix.lower() in LIST_SUFFIXES:
        raise SslAudioError(f"source={source}: a list must be a local file")
    with named(f"source={source}"):
        files = remote_files(source)
    items = []
    for url, relative, *found in files:
        hidden = any(part.startswith(".") for part in relative.split("/"))
        if not hidden and Path(url.name).suffix.lower() in SUFFIXES:
            items.append(Item(printable(relative or url.name), url, Fingerprint(*found)))
    if not items:
        raise SslAudioError(f"source={source}: no audio there; looked for {' '.join(SUFFIXES)}")
    return items


def in_shard(track: str, shard: tuple[int, int]) -> bool:
    """True if a track belongs to part `shard[0]` of `shard[1]`, the same on every machine."""
    number, count = shard
    if count == 1:
        return True
    digest = hashlib.blake2b(track.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % count == number - 1


def _id(path: str, roots: Sequence[str]) -> str:
    """The path relative to one of the roots, the same on every machine; else the path itself."""
    for root in roots:
        if path.startswith(root):
            return printable(path[len(root) :].replace(os.sep, "/"))
    return printable(path)


def fingerprint(path: AnyPath) -> Fingerprint:
    """Size and time of a regular file, or of one at a URL.

    Raises:
        OSError: there is none; without `errno`, there is a pipe, a device or a folder instead.
    """
    if isinstance(path, Url):
        return Fingerprint(*remote_stamp(path))
    try:
        found = os.stat(path)
        if not S_ISREG(found.st_mode):
            regular_size(path)  # says what it is
        return Fingerprint(found.st_size, found.st_mtime_ns)
    except AudioError as error:
        raise OSError(error.detail) from error
    except ValueError as error:  # a name with a zero byte
        raise FileNotFoundError(str(error)) from error


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
    path, digest, found = printable(str(item.path)), "", Fingerprint(0, 0)
    try:
        found = fingerprint(item.path)
        with local_copy(item.path) as file:
            digest = file_sha256(file)
            result = analyse(file)
        if fingerprint(item.path) != found:
            return Failure(item.id, path, "it changed while it was read")
    except OSError as error:
        return Failure(item.id, path, os_reason(error))
    except AudioError as error:
        lasting = not error.detail.startswith(TEMPORARY)
        error.path = str(item.path)  # of a URL, it was that of a copy
        return Failure(item.id, path, printable(str(error)), lasting, digest, *found)
    if not np.isfinite(result.vector).all():
        return Failure(item.id, path, "its features are not finite", True, digest, *found)
    return Row(item.id, path, result.duration, digest, result.vector, result.segments, result.times,
               *found, result.note)  # fmt: skip


def os_reason(error: OSError) -> str:
    """Why a file cannot be opened."""
    return printable(reason_of(error))
