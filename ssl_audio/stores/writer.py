"""Writing of feature stores: a folder that is changed in small steps, or one whole file.

`Store` appends parts to a folder, and each step is complete on disk before the next one: whatever
stops a run, all rows but those of the last group are there.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, Self

import pyarrow as pa

from ssl_audio.io.console import warn
from ssl_audio.io.errors import SslAudioError, named, reason_of
from ssl_audio.io.lock import only_writer
from ssl_audio.io.remote import Url
from ssl_audio.stores.columns import (
    RECORD_TYPES,
    Record,
    Row,
    completed,
    rows_table,
    with_records,
)
from ssl_audio.stores.failures import (
    Failure,
    failures_table,
    read_failures,
    write_failures,
    write_failures_table,
)
from ssl_audio.stores.feature_store import read_about, read_part, read_tables
from ssl_audio.stores.manifest import MANIFEST, Manifest, Part, read_manifest, write_manifest
from ssl_audio.stores.parts import LARGE_BYTES, LARGE_ROWS, regrouped, write_file, write_parts

LOCK = "_lock"
NOT_COMPARED = {"checkpoint", "merged"}  # names of folders: the model's hash is compared instead
MAX_WAITING_BYTES = 1 << 28  # of the rows that are not yet in a part
MAX_SMALL = 64  # parts that are not large, before they are merged
_OLD = "_before.parquet"  # the single file that a folder has replaced
_LEFTOVER = re.compile(rf"part-\d+\.parquet|\..*\.tmp|{re.escape(_OLD)}")


@dataclass
class Store:
    """A store that is being written; a context manager, so that its lock is released.

    It is a folder of Parquet files. A store of one file is turned into a folder first.

    Args:
        output: the folder, NAME.parquet.
        about: JSON values that determine the vectors (model hash, precision, ...). Rows made with
            other values are refused.
        dtype: "float32" or "float16".
        group: rows that are written together: the most that a crash loses.

    Attributes:
        records: the files of the tracks that are on disk, by id.
        failures: the tracks that have none; changes are written with the next rows.

    Raises:
        SslAudioError: another format, or rows made with other values.
        Busy: another process is writing the store.
    """

    output: Path
    about: Mapping[str, Any]
    dtype: str = "float32"
    segments: bool = False
    group: int = 256
    records: dict[str, Record] = field(init=False, default_factory=dict)
    failures: dict[str, Failure] = field(init=False, default_factory=dict)
    _places: dict[str, int] = field(init=False, default_factory=dict)  # part << 32 | row
    _manifest: Manifest = field(init=False)
    _kept_failures: dict[str, Failure] = field(init=False, default_factory=dict)
    _waiting: list[Row] = field(init=False, default_factory=list)
    _bytes: int = field(init=False, default=0)
    _lock: IO[str] = field(init=False)

    def __post_init__(self) -> None:
        check_output(self.output)
        self.about = {**self.about, "dtype": self.dtype, "segments": self.segments}
        self._check_output()
        with self._named():
            # a store of one file has no folder yet
            folder = self._adopted if self.output.is_file() else self.output
            self._lock = only_writer(folder, LOCK, self.output)
            if self.output.is_file():
                self._adopt()
            self._manifest = Manifest(self.about)
            if (self.output / MANIFEST).exists():
                self._manifest = read_manifest(self.output)
                self._check_same(self._manifest.about)
            self._remove_leftovers()
            self._read_parts()
        self.failures = read_failures(self.output)
        self._kept_failures = dict(self.failures)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The files of the store, in its order."""
        return self._manifest.parts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what is finished; a store that has nothing is removed."""
        if self._lock.closed:
            return
        try:
            if kind is None or not issubclass(kind, SslAudioError):
                self.flush()
        finally:
            if not (self.output / MANIFEST).exists():
                shutil.rmtree(self.output, ignore_errors=True)
            self._lock.close()

    def add(self, row: Row) -> None:
        """Add a row, in place of an older one with its id; it is on disk after `flush` at last."""
        self._waiting.append(row)
        self._bytes += row.vector.nbytes + (0 if row.segments is None else row.segments.nbytes)
        if len(self._waiting) >= self.group or self._bytes > MAX_WAITING_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the waiting rows, and what has changed of the failures.

        Raises:
            SslAudioError: the disk is full, for example; what was written before stays.
        """
        waiting = list({row.id: row for row in self._waiting}.values())
        self._waiting, self._bytes = [], 0
        if waiting:
            self.append([rows_table(waiting, self.about)])
            self._merge_small()
        self._write_failures()

    def append(self, tables: Iterable[pa.Table], dropped: Iterable[str] = ()) -> None:
        """Add the rows of tables, each in place of an older one with its id, in one step.

        Args:
            tables: with all columns.
            dropped: ids of rows that are removed in the same step.
        """
        with self._named():
            new = write_parts(self.output, self._manifest.numbered, tables, self.about)
            found = [(part, self._read_records(part)) for part in new]
            gone = {track for track in dropped if track in self._places}
            replaced = {track for _, rows in found for track, _ in rows if track in self._places}
            if not new and not gone:
                return
            self._commit([*self._without(gone | replaced), *new])
        for track in gone:
            del self.records[track], self._places[track]
        for part, rows in found:
            self._index(part, rows)

    def revise(
        self, changes: Iterable[tuple[str, str, Record]], dropped: Iterable[str] = ()
    ) -> None:
        """Give vectors that the store has to other files, in one step.

        Args:
            changes: a track whose vector is used, and the id and the record of its new row, which
                takes the place of an older one with this id.
            dropped: ids of rows that are removed in the same step.
        """
        wanted: dict[int, list[tuple[int, str, Record]]] = {}
        for source, track, record in changes:
            number, row = divmod(self._places[source], 1 << 32)
            wanted.setdefault(number, []).append((row, track, record))
        tables = (
            table
            for part in self.parts
            for table in self._revised(part, wanted.get(part.number, []))
        )
        self.append(regrouped(tables), dropped)

    def close(self) -> int:
        """Leave files of live rows alone, and few of them; returns the number of rows."""
        self.flush()
        for part in [part for part in self.parts if part.dropped]:
            self._rewrite([part])
        self._merge_small()
        if not (self.output / MANIFEST).exists():  # an empty store
            self._commit([])
        self.__exit__(None)
        return len(self.records)

    def _revised(self, part: Part, wanted: list[tuple[int, str, Record]]) -> Iterator[pa.Table]:
        """The wanted rows of a part with their new ids and records."""
        wanted, first = sorted(wanted), 0
        if not wanted:
            return
        for table in read_part(self.output, replace(part, dropped=())):
            here = [change for change in wanted if first <= change[0] < first + table.num_rows]
            if here:
                rows, ids, records = zip(*here, strict=True)
                taken = table.take([row - first for row in rows])
                yield with_records(taken, ids, records, self.about)
            first += table.num_rows

    def _rewrite(self, parts: Sequence[Part]) -> None:
        """Replace parts by new ones without their dropped rows."""
        with self._named():
            tables = regrouped(table for part in parts for table in read_part(self.output, part))
            new = write_parts(self.output, self._manifest.numbered, tables, self.about)
            self._commit([*(part for part in self.parts if part not in parts), *new])
            for part in new:
                self._index(part, self._read_records(part))

    def _merge_small(self) -> None:
        small = [p for p in self.parts if p.rows < LARGE_ROWS and p.size < LARGE_BYTES]
        if len(small) > MAX_SMALL:
            self._rewrite(small)

    def _without(self, tracks: Iterable[str]) -> list[Part]:
        """The parts, with the rows of some tracks dropped."""
        rows: dict[int, list[int]] = {}
        for track in tracks:
            number, row = divmod(self._places[track], 1 << 32)
            rows.setdefault(number, []).append(row)
        parts = [
            replace(part, dropped=tuple(sorted({*part.dropped, *rows[part.number]})))
            if part.number in rows else part
            for part in self.parts
        ]  # fmt: skip
        return [part for part in parts if part.live]

    def _commit(self, parts: Sequence[Part]) -> None:
        """Make these the parts of the store, and remove the files of the others."""
        numbered = max(self._manifest.numbered, *(part.number + 1 for part in parts), 0)
        before, names = self.parts, {part.name for part in parts}
        manifest = Manifest(self.about, tuple(parts), numbered)
        write_manifest(self.output, manifest)
        self._manifest = manifest
        for part in before:
            if part.name not in names:
                (self.output / part.name).unlink(missing_ok=True)

    def _write_failures(self) -> None:
        if self.failures == self._kept_failures:
            return
        with self._named():
            if not (self.output / MANIFEST).exists():
                self._commit([])
            write_failures_table(failures_table(self.output), self.failures)
            write_failures(self.output, self.failures.values())  # last: a stopped run repeats both
        self._kept_failures = dict(self.failures)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors of files become SslAudioErrors that name the store."""
        try:
            yield
        except OSError as error:
            reason = reason_of(error)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                reason += "; what is finished is kept: make room and run the same command again"
            raise SslAudioError(f"output={self.output}: {reason}") from error

    def _check_output(self) -> None:
        """Refuse an output before anything is created.

        Raises:
            SslAudioError: it has other vectors, or is no store.
        """
        if not self.output.exists() and (self._adopted / _OLD).exists():  # between two renames
            os.rename(self._adopted, self.output)
        if self.output.is_dir() and not (self.output / MANIFEST).exists():
            names = {path.name for path in self.output.iterdir()} - {LOCK}
            if other := sorted(name for name in names if not _LEFTOVER.fullmatch(name)):
                raise SslAudioError(
                    f"output={self.output} is a folder with {other[0]} in it and no feature store"
                )
        elif self.output.exists():
            self._check_same(read_about(self.output))

    @property
    def _adopted(self) -> Path:
        """The folder in which a store of one file becomes one of several."""
        return self.output.with_name(f".{self.output.name}.folder")

    def _adopt(self) -> None:
        """Turn a store of one file into a folder."""
        tables = regrouped(completed(t, self.about) for t in read_tables(self.output))
        parts = write_parts(self._adopted, 0, tables, self.about)
        write_manifest(self._adopted, Manifest(self.about, tuple(parts), len(parts)))
        os.rename(self.output, self._adopted / _OLD)
        os.rename(self._adopted, self.output)

    def _remove_leftovers(self) -> None:
        """Remove what an earlier run has left when it was stopped."""
        live = {part.name for part in self.parts}
        for path in self.output.iterdir():
            if path.name not in live and _LEFTOVER.fullmatch(path.name):
                path.unlink()
        for path in self.output.parent.glob(f".{failures_table(self.output).name}.*.tmp"):
            path.unlink()

    def _read_parts(self) -> None:
        """Note the tracks of all parts; those of a damaged part are computed again."""
        damaged = []
        for part in self.parts:
            try:
                self._index(part, self._read_records(part))
            except SslAudioError as error:
                warn(f"{error}; its tracks are computed again")
                damaged.append(part)
        if damaged:
            self._commit([part for part in self.parts if part not in damaged])

    def _read_records(self, part: Part) -> list[tuple[str, Record]]:
        """Id and record of each row of a part, also of dropped ones."""
        tables = read_part(self.output, replace(part, dropped=()), ["id", *RECORD_TYPES])
        columns = pa.concat_tables(tables).to_pydict()
        return [(track, Record(*each)) for track, *each in zip(*columns.values(), strict=True)]

    def _index(self, part: Part, rows: Sequence[tuple[str, Record]]) -> None:
        """Note the tracks of a part."""
        dropped = set(part.dropped)
        for row, (track, record) in enumerate(rows):
            if row not in dropped:
                self.records[track] = record
                self._places[track] = part.number << 32 | row

    def _check_same(self, other: Mapping[str, Any]) -> None:
        if not other:
            raise SslAudioError(f"{self.output} is not of this package: give another output=")
        for key in sorted((set(self.about) | set(other)) - NOT_COMPARED):
            if self.about.get(key) != other.get(key):
                raise SslAudioError(
                    f"{self.output} was made with {key}={other.get(key)}, not with "
                    f"{key}={self.about.get(key)}: give another output=, or remove it"
                )


def write_store(output: Path, about: Mapping[str, Any], rows: Iterable[Row]) -> int:
    """Write a whole store of float32 vectors as one file in one step, over an older one.

    Returns:
        the number of rows.

    Raises:
        SslAudioError: the output cannot be written.
    """
    check_output(output)
    if output.is_dir():
        raise SslAudioError(f"output={output} is a folder: name a file")
    about = {**about, "dtype": "float32", "segments": False}
    waiting = iter(rows)
    groups = iter(lambda: list(islice(waiting, 1024)), [])
    with named(f"output={output}"):
        return write_file(output, (rows_table(group, about) for group in groups), about)


def check_output(output: Path | Url) -> None:
    """Refuse an output that no store can be written to.

    Raises:
        SslAudioError: another suffix.
    """
    if Path(output.name).suffix != ".parquet":
        raise SslAudioError(f"output={output}: a feature store is named NAME.parquet")
