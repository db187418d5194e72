"""Writing of feature stores: finished row groups survive a crash, and the output is atomic.

While rows are being computed, they are kept in `OUTPUT.parts/`, one Parquet file per row group.
`Store.close` merges them into the output in one step.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ssl_audio.io.atomic import atomic_file, write_json
from ssl_audio.io.console import warn
from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.io.lock import exclusive_lock
from ssl_audio.stores.feature_store import (
    EMBEDDING,
    METADATA_KEY,
    Row,
    read_about,
    read_ids,
    read_tables,
)

ABOUT, PARTS, LOCK = "about.json", ".parts", "lock"
TYPES = {"float32": pa.float32(), "float16": pa.float16()}
NOT_COMPARED = {"checkpoint"}  # a folder's name; the model's hash is compared instead
MAX_WAITING_BYTES = 1 << 28  # of the rows that are not yet in a row group


class StoreBusy(SslAudioError):
    """A store that another process is writing."""


@dataclass
class Store:
    """A store that is being written; a context manager, so that its lock is released.

    Rows of an earlier, interrupted or finished run with the same output are kept.

    Args:
        output: the Parquet file.
        about: JSON values that determine the vectors (model hash, precision, ...). Rows made with
            other values are refused.
        dtype: "float32" or "float16".
        segments: True if rows have segments.
        group: rows per row group: the most that a crash loses.

    Raises:
        SslAudioError: another format, or rows made with other values.
        StoreBusy: another process is writing the store.
    """

    output: Path
    about: Mapping[str, Any]
    dtype: str = "float32"
    segments: bool = False
    group: int = 1024
    finished: set[str] = field(init=False, default_factory=set)
    _waiting: list[Row] = field(init=False, default_factory=list)
    _bytes: int = field(init=False, default=0)
    _lock: IO[str] = field(init=False)

    def __post_init__(self) -> None:
        check_output(self.output)
        self.about = {**self.about, "dtype": self.dtype, "segments": self.segments}
        if self.output.exists():
            self._check_same(read_about(self.output))
        if self._part_files():
            self._check_same(_read_json(self.parts / ABOUT))
        try:
            self.parts.mkdir(parents=True, exist_ok=True)
            lock = exclusive_lock(self.parts / LOCK)
            if lock is None:
                raise StoreBusy(f"another process is writing {self.parts}: wait for it")
            self._lock = lock
            write_json(self.parts / ABOUT, self.about)
        except OSError as error:
            raise SslAudioError(f"output={self.output}: {error.strerror}") from error
        kept = set(read_ids(self.output)) if self.output.exists() else set()
        self.finished = kept | self._ids_of_parts(kept)

    @property
    def parts(self) -> Path:
        """The folder of the finished row groups."""
        return self.output.with_name(self.output.name + PARTS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Keep finished rows; without any, remove the folder of parts."""
        if self._lock.closed:
            return
        self.flush()
        if not self._part_files():
            shutil.rmtree(self.parts)
        self._lock.close()

    def add(self, row: Row) -> None:
        """Add a row; it is on disk once its row group is full, or after `flush`."""
        self._waiting.append(row)
        self._bytes += row.vector.nbytes + (0 if row.segments is None else row.segments.nbytes)
        if len(self._waiting) >= self.group or self._bytes > MAX_WAITING_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the waiting rows as one row group."""
        if not self._waiting:
            return
        numbers = [int(path.stem) for path in self._part_files()]
        path = self.parts / f"{max(numbers, default=-1) + 1:08d}.parquet"
        table = _table(self._waiting, self.about)
        with atomic_file(path) as temporary, open(temporary, "wb") as file:
            pq.write_table(table, file, compression="zstd", write_page_checksum=True)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the name without its content
        self.finished.update(row.id for row in self._waiting)
        self._waiting, self._bytes = [], 0

    def close(self) -> int:
        """Merge all row groups into the output in one step; returns the number of rows."""
        self.flush()
        parts = self._part_files()
        if parts:
            earlier = [self.output] if self.output.exists() else []
            _write(self.output, self.about, (t for p in (*earlier, *parts) for t in read_tables(p)))
        self._lock.close()
        shutil.rmtree(self.parts)
        return len(self.finished)

    def _ids_of_parts(self, kept: set[str]) -> set[str]:
        """The ids of the parts; parts already merged into the output, and damaged ones, are
        removed."""
        found: set[str] = set()
        for path in self._part_files():
            try:
                ids = set(pq.read_table(path, page_checksum_verification=True)["id"].to_pylist())
            except (OSError, ValueError, KeyError, pa.ArrowException):
                warn(f"{path} is damaged: its tracks are computed again")
                ids = set()
            if ids <= kept:
                path.unlink()
            found |= ids
        return found

    def _part_files(self) -> list[Path]:
        return sorted(self.parts.glob("[0-9]*.parquet"))

    def _check_same(self, other: Mapping[str, Any]) -> None:
        if not other:
            raise SslAudioError(f"{self.output} is not of this package: give another output=")
        for key in sorted((set(self.about) | set(other)) - NOT_COMPARED):
            if self.about.get(key) != other.get(key):
                raise SslAudioError(
                    f"{self.output} was made with {key}={other.get(key)}, not with "
                    f"{key}={self.about.get(key)}: give another output=, or remove it and "
                    f"{self.parts.name}"
                )


def write_store(output: Path, about: Mapping[str, Any], rows: Iterable[Row]) -> int:
    """Write a whole store of float32 vectors in one step, over an older one.

    Returns:
        the number of rows.

    Raises:
        SslAudioError: the output cannot be written.
    """
    check_output(output)
    about = {**about, "dtype": "float32", "segments": False}
    waiting = iter(rows)
    groups = iter(lambda: list(islice(waiting, 1024)), [])
    return _write(output, about, (_table(group, about) for group in groups))


def check_output(output: Path) -> None:
    """Refuse an output that no store can be written to.

    Raises:
        SslAudioError: another suffix, or a folder.
    """
    if output.suffix != ".parquet":
        raise SslAudioError(f"output={output}: a feature store is a Parquet file, NAME.parquet")
    if output.is_dir():
        raise SslAudioError(f"output={output} is a folder: give the name of a file")


def _write(output: Path, about: Mapping[str, Any], tables: Iterator[pa.Table]) -> int:
    """Write tables atomically; returns the number of rows."""
    first = next(tables)
    rows = first.num_rows
    schema = first.schema.with_metadata(_metadata(about))
    try:
        with (
            atomic_file(output) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            writer.write_table(first)
            for table in tables:
                writer.write_table(table)
                rows += table.num_rows
    except OSError as error:
        raise SslAudioError(f"output={output}: {first_line(error)}") from error
    return rows


def _metadata(about: Mapping[str, Any]) -> dict[bytes, bytes]:
    return {METADATA_KEY: json.dumps(dict(about)).encode()}


def _table(rows: Sequence[Row], about: Mapping[str, Any]) -> pa.Table:
    """Rows as columns, with `about` as metadata."""
    vector = pa.list_(TYPES[about["dtype"]], len(rows[0].vector))
    columns: dict[str, pa.Array] = {
        "id": pa.array([row.id for row in rows], pa.string()),
        "path": pa.array([row.path for row in rows], pa.string()),
        "duration": pa.array([row.duration for row in rows], pa.float64()),
        "sha256": pa.array([row.sha256 for row in rows], pa.string()),
        EMBEDDING: _fixed(np.stack([row.vector for row in rows]), vector),
    }
    if about["segments"]:
        times = [row.times for row in rows if row.times is not None]
        segments = [row.segments for row in rows if row.segments is not None]
        columns["times"] = _lists(times, lambda t: pa.array(t, pa.float64()))
        columns["segments"] = _lists(segments, lambda s: _fixed(s, vector))
    return pa.table(columns).replace_schema_metadata(_metadata(about))


def _fixed(vectors: np.ndarray, kind: pa.DataType) -> pa.Array:
    """(n, dimensions) as a column of fixed-size lists."""
    numbers = np.ascontiguousarray(vectors, kind.value_type.to_pandas_dtype()).ravel()
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers, kind.value_type), type=kind)


def _lists(groups: Sequence[np.ndarray], column: Callable[[np.ndarray], pa.Array]) -> pa.Array:
    """Arrays of different lengths as a column of lists."""
    offsets = np.cumsum([0, *map(len, groups)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column(np.concatenate(groups)))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SslAudioError(f"{path} is damaged: {error}; remove {path.parent}") from error
