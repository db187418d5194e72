"""Embeddings of a whole catalogue, in constant memory, that go on where they were stopped."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.audio import files
from ssl_audio.audio.files import SAMPLE_RATE
from ssl_audio.audio.manifest import find_audio, read_list, read_table
from ssl_audio.io.console import say
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.io.progress import tracks_bar
from ssl_audio.models.embedder import BATCH, Embedder
from ssl_audio.models.extraction import in_order
from ssl_audio.stores.feature_store import Row
from ssl_audio.stores.writer import Store, write_failures


@dataclass(frozen=True)
class Item:
    """A track to embed: its id in the store, and its file."""

    id: str
    path: Path


@dataclass(frozen=True)
class Failure:
    """A track that could not be embedded, and why."""

    id: str
    path: str
    reason: str


@dataclass(frozen=True)
class Settings:
    """How tracks are embedded.

    Attributes:
        segments: keep each segment's vector too.
        hop: seconds between the segments' starts; None is a segment's length.
        batch_size: segments at a time.
        precision, runtime: as of `for_embedding`, for workers that make their own encoder.
    """

    segments: bool = False
    hop: float | None = None
    batch_size: int = BATCH
    precision: str = "float32"
    runtime: str = "auto"


def items(source: str) -> Iterator[Item]:
    """What a source names: a folder, a list (.txt, .csv, .parquet), a file, or "-".

    An id is the path below the folder, or below the list's folder; a path that lies elsewhere is
    its own id. "-" is a path a line on standard input, taken as they come.

    Raises:
        SslAudioError: nothing there, or no audio in it.
    """
    if source == "-":
        for line in sys.stdin:
            if name := line.rstrip("\r\n"):
                yield Item(files.printable(name), Path(name))
        return
    path = Path(source)
    if path.is_dir():
        listed, root = find_audio(path), path
    elif path.suffix in (".txt", ".csv", ".parquet"):
        listed = read_list(path) if path.suffix == ".txt" else read_table(path)
        root = path.parent
    elif path.is_file():
        yield Item(path.name, path)
        return
    else:
        raise SslAudioError(f"source={source}: a folder, a .txt, .csv or .parquet list, or a file")
    for found in listed:
        yield Item(_id(Path(found.path), root), Path(found.path))


def _id(path: Path, root: Path) -> str:
    """The same on every machine, where it can be."""
    for base in (root, root.resolve()):
        if path.is_relative_to(base):
            return files.printable(path.relative_to(base).as_posix())
    return files.printable(str(path))


def embed_item(item: Item, encoder: Embedder, settings: Settings) -> Row | Failure:
    """One track's row, or why there is none; the encoder is one `for_embedding`."""
    path = files.printable(str(item.path))
    samples = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal samples
        for block in files.stream(item.path):
            samples += len(block)
            yield block

    try:
        digest = sha256_of(item.path)
        found = encoder.embed_blocks(counted(), settings.hop, settings.batch_size)
    except AudioError as error:
        return Failure(item.id, path, str(error))
    if not np.isfinite(found.track).all():
        return Failure(item.id, path, "its embedding is not finite")
    kept: dict[str, Any] = (
        {"segments": found.segments, "times": found.times} if settings.segments else {}
    )
    return Row(item.id, path, samples / SAMPLE_RATE, digest, found.track, **kept)


def sha256_of(path: Path) -> str:
    """Of a file's bytes.

    Raises:
        AudioError: it cannot be read.
    """
    try:
        return files.sha256(path)
    except OSError as error:
        raise AudioError(path, error.strerror or str(error)) from error


def local_results(
    todo: Iterable[Item], encoder: Embedder, settings: Settings, workers: int | None
) -> Iterator[Row | Failure]:
    """Rows by an encoder that is `for_embedding` on this machine, in the order of the items."""
    return in_order(todo, partial(embed_item, encoder=encoder, settings=settings), workers)


@dataclass
class Summary:
    """What came of an export.

    Attributes:
        rows: that this run added.
        seconds: of sound in them.
        kept: rows that were there before.
        failures: in order.
        elapsed: seconds.
    """

    rows: int
    seconds: float
    kept: int
    failures: list[Failure]
    elapsed: float


def remaining(listed: Iterable[Item], store: Store) -> Iterator[Item]:
    """The tracks that the store does not have; of several with one id, the first."""
    seen: set[str] = set()
    for item in listed:
        if item.id not in seen and item.id not in store.finished:
            seen.add(item.id)
            yield item


def export(results: Iterable[Row | Failure], store: Store) -> Summary:
    """Keep results as they come; what has come is kept whatever stops the rest."""
    started, summary = time.monotonic(), Summary(0, 0.0, len(store.finished), [], 0.0)
    try:
        for result in results:
            if isinstance(result, Failure):
                summary.failures.append(result)
            else:
                store.add(result)
                summary.rows += 1
                summary.seconds += result.duration
    finally:
        store.flush()
        summary.elapsed = time.monotonic() - started
    return summary


def export_source(
    source: str,
    store: Store,
    results_of: Callable[[Iterable[Item], int | None], Iterator[Row | Failure]],
    doing: str,
    failures: Path,
) -> tuple[Summary, int]:
    """Bring a store up to all that a source names, with a bar, and close it.

    Args:
        source: as of `items`.
        store: what it has is not made again.
        results_of: makes the rows of tracks; their number is None where nobody knows it.
        doing: said before the bar.
        failures: the table of those that failed, written anew.

    Returns:
        What came of this run, and the tracks in the store.

    Raises:
        SslAudioError: there is no track in it.
    """
    if store.finished:
        say(f"{store.output}: going on after {len(store.finished)} tracks")
    todo: Iterable[Item] = remaining(items(source), store)
    total = None if source == "-" else len(todo := list(todo))
    try:
        summary = export(tracks_bar(results_of(todo, total), total, doing), store)
    except KeyboardInterrupt:
        say(f"{len(store.finished)} tracks are kept in {store.parts}; the same command goes on")
        raise
    write_failures(failures, [(f.id, f.path, f.reason) for f in summary.failures])
    count = store.close()
    if not count:
        raise SslAudioError(f"no track of {source} can be read: see {failures}")
    return summary, count
