"""A feature store: one row a track, written part by part, so that what is finished is never lost.

While an export runs, finished rows lie in `OUTPUT.parts/`, a Parquet file a row group, each whole
or not there. At the end they become the output in one step: Parquet, Arrow, NumPy or CSV.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ssl_audio.io.atomic import atomic_file, write_json, write_text
from ssl_audio.io.errors import SslAudioError

SUFFIXES = (".parquet", ".arrow", ".npy", ".csv")
METADATA_KEY = b"ssl_audio"
ABOUT, PARTS, LOCK = "about.json", ".parts", "lock"
TYPES = {"float32": pa.float32(), "float16": pa.float16()}
MAY_DIFFER = {"checkpoint"}  # a folder's name; what lies in it is the model's hash
MOST_BYTES = 1 << 28  # of vectors that wait for their row group to be full
LARGEST_CSV = 200_000  # rows; a row of 1024 numbers is 12 kB of text
_TEXTS = ("id", "path", "sha256")


@dataclass(frozen=True)
class Row:
    """What is kept of a track.

    Attributes:
        id: unique in a store.
        path: of its audio file.
        duration: seconds.
        sha256: of the file.
        vector: (dimensions,).
        segments: (n, dimensions), where they are asked for.
        times: (n,) their starts, seconds.
    """

    id: str
    path: str
    duration: float
    sha256: str
    vector: np.ndarray
    segments: np.ndarray | None = None
    times: np.ndarray | None = None


@dataclass(frozen=True)
class Stored:
    """A store that was read.

    Attributes:
        ids, paths: (tracks,).
        vectors: (tracks, dimensions) float32.
        about: what made it.
    """

    ids: list[str]
    paths: list[str]
    vectors: np.ndarray
    about: dict[str, Any]


@dataclass
class Store:
    """An export under way.

    Args:
        output: the file that it becomes; its suffix is the format.
        about: what decides the vectors (model hash, precision, ...): JSON values. Rows that were
            made otherwise are never mixed with these.
        dimensions: of the vectors.
        dtype: "float32" or "float16".
        segments: whether rows have segments.
        group: rows a row group.

    Raises:
        SslAudioError: an unknown format, or rows that were made with something else.
    """

    output: Path
    about: Mapping[str, Any]
    dimensions: int
    dtype: str = "float32"
    segments: bool = False
    group: int = 1024
    finished: set[str] = field(init=False, default_factory=set)
    _waiting: list[Row] = field(init=False, default_factory=list)
    _bytes: int = field(init=False, default=0)
    _lock: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        _check_output(self.output, self.segments)
        if self.dtype not in TYPES:
            raise SslAudioError(f"dtype={self.dtype}: float32 or float16")
        if self.group < 1:
            raise SslAudioError(f"group={self.group}: rows, 1 or more")
        self.about = {**self.about, "dtype": self.dtype, "segments": self.segments}
        self._check_same(read_about(self.output) if self.output.exists() else None)
        self._check_same(_read_json(self.parts / ABOUT))
        try:
            self.parts.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SslAudioError(f"output={self.output}: {error.strerror}") from error
        self._lock = _locked(self.parts / LOCK)
        write_json(self.parts / ABOUT, self.about)
        kept = {i for table in self._of_output(["id"]) for i in table["id"].to_pylist()}
        self.finished = kept | self._of_parts(kept)

    @property
    def parts(self) -> Path:
        """The folder of the row groups that are finished."""
        return self.output.with_name(self.output.name + PARTS)

    @property
    def schema(self) -> pa.Schema:
        """The columns, and as metadata what made them."""
        vector = pa.list_(TYPES[self.dtype], self.dimensions)
        columns = [
            pa.field("id", pa.string()),
            pa.field("path", pa.string()),
            pa.field("duration", pa.float64()),
            pa.field("sha256", pa.string()),
            pa.field("embedding", vector),
        ]
        if self.segments:
            columns += [
                pa.field("times", pa.list_(pa.float64())),
                pa.field("segments", pa.list_(vector)),
            ]
        return pa.schema(columns, metadata={METADATA_KEY: json.dumps(dict(self.about)).encode()})

    def add(self, row: Row) -> None:
        """Keep a row; it is safe when its row group is full, or after `flush`.

        A row group is full with `group` rows, or with less of long tracks' segments.
        """
        self._waiting.append(row)
        self._bytes += row.vector.nbytes + (0 if row.segments is None else row.segments.nbytes)
        if len(self._waiting) >= self.group or self._bytes > MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait as a row group."""
        if not self._waiting:
            return
        taken = [int(path.stem) for path in self._part_files()]
        path = self.parts / f"{max(taken, default=-1) + 1:08d}.parquet"
        table = _table(self._waiting, self.schema)
        with atomic_file(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        self.finished.update(row.id for row in self._waiting)
        self._waiting, self._bytes = [], 0

    def close(self) -> int:
        """Write the output in one step, and remove the parts; returns the number of rows."""
        self.flush()
        if not self.finished:
            self._lock.close()
            shutil.rmtree(self.parts)
            return 0
        _WRITERS[self.output.suffix](self)
        self._lock.close()
        shutil.rmtree(self.parts)
        return len(self.finished)

    def tables(self) -> Iterator[pa.Table]:
        """The row groups: of an older output of the same name, then the new ones."""
        yield from self._of_output(self.schema.names)
        for path in self._part_files():
            yield pq.read_table(path, columns=self.schema.names)

    def _of_output(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        if self.output.exists():
            yield from _read_output(self.output, columns)

    def _of_parts(self, kept: set[str]) -> set[str]:
        """The ids of the parts. One whose rows are in the output was left by a run that was stopped
        between writing the output and removing the parts: it goes."""
        found: set[str] = set()
        for path in self._part_files():
            ids = set(pq.read_table(path, columns=["id"])["id"].to_pylist())
            if ids <= kept:
                path.unlink()
            found |= ids
        return found

    def _part_files(self) -> list[Path]:
        return sorted(self.parts.glob("[0-9]*.parquet"))

    def _check_same(self, other: Mapping[str, Any] | None) -> None:
        if other is None:
            return
        for key in sorted((set(self.about) | set(other)) - MAY_DIFFER):
            if self.about.get(key) != other.get(key):
                raise SslAudioError(
                    f"{self.output} was begun with {key}={other.get(key)}, and this is "
                    f"{key}={self.about.get(key)}: name another output=, or remove it and "
                    f"{self.parts.name}"
                )


def _locked(path: Path) -> Any:
    """An open file that no other process has locked; the lock ends with the process.

    Raises:
        SslAudioError: another process writes this store.
    """
    file = path.open("w")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # no such locks on this system
        pass
    except OSError as error:
        file.close()
        raise SslAudioError(f"another process is writing {path.parent}: wait for it") from error
    return file


def _check_output(output: Path, segments: bool) -> None:
    if output.suffix not in SUFFIXES:
        raise SslAudioError(f"output={output}: a file that ends with {', '.join(SUFFIXES)}")
    if segments and output.suffix not in (".parquet", ".arrow"):
        raise SslAudioError("segments=true is for output=....parquet or .arrow")


def _table(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    vector = schema.field("embedding").type
    columns: list[pa.Array] = []
    for name in schema.names:
        if name == "embedding":
            columns.append(_fixed(np.stack([row.vector for row in rows]), vector))
        elif name == "times":
            columns.append(_lists([row.times for row in rows], lambda t: pa.array(t, pa.float64())))
        elif name == "segments":
            columns.append(_lists([row.segments for row in rows], lambda s: _fixed(s, vector)))
        else:
            values = [getattr(row, name) for row in rows]
            columns.append(pa.array(values, schema.field(name).type))
    return pa.Table.from_arrays(columns, schema=schema)


def _fixed(vectors: np.ndarray, kind: pa.DataType) -> pa.Array:
    """(n, dimensions) to a column of fixed-size lists."""
    numbers = np.ascontiguousarray(vectors, kind.value_type.to_pandas_dtype()).ravel()
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers, kind.value_type), type=kind)


def _lists(
    groups: Sequence[np.ndarray | None], column: Callable[[np.ndarray], pa.Array]
) -> pa.Array:
    """Arrays of several lengths to a column of lists."""
    given = [group for group in groups if group is not None]
    offsets = np.cumsum([0, *(len(group) for group in given)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column(np.concatenate(given)))


# --- the formats ---------------------------------------------------------------------------------


def _write_parquet(store: Store) -> None:
    with (
        atomic_file(store.output) as temporary,
        pq.ParquetWriter(temporary, store.schema, compression="zstd") as writer,
    ):
        for table in store.tables():
            writer.write_table(table)


def _write_arrow(store: Store) -> None:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        atomic_file(store.output) as temporary,
        pa.ipc.new_file(temporary, store.schema, options=options) as writer,
    ):
        for table in store.tables():
            writer.write_table(table.replace_schema_metadata(store.schema.metadata))


def _write_npy(store: Store) -> None:
    """The vectors, with their tracks beside them as CSV, in the same order."""
    shape = (len(store.finished), store.dimensions)

    def write(temporary: Path) -> None:
        whole = np.lib.format.open_memmap(temporary, "w+", np.dtype(store.dtype), shape)
        first = 0
        for table in store.tables():
            part = vectors_of(table, np.dtype(store.dtype))
            whole[first : first + len(part)] = part
            first += len(part)
        whole.flush()

    def write_tracks(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "path", "duration", "sha256"])
            for table in store.tables():
                writer.writerows(zip(*(table[c].to_pylist() for c in store.schema.names[:4]),
                                     strict=True))  # fmt: skip

    # Both are read from an older output, so both are made before either is put in its place. The
    # vectors come last: older vectors with a longer list of tracks are still a whole store.
    vectors, tracks = (store.parts / name for name in ("vectors", "tracks"))
    write(vectors)
    write_tracks(tracks)
    write_json(_about_of(store.output), store.about)
    os.replace(tracks, _tracks_of(store.output))
    os.replace(vectors, store.output)


def _write_csv(store: Store) -> None:
    if len(store.finished) > LARGEST_CSV:
        raise SslAudioError(
            f"{len(store.finished)} tracks are too many for CSV: the same command with "
            f"output={store.output.with_suffix('.parquet')} would begin anew; rename "
            f"{store.parts.name} to go on with it"
        )

    names = store.schema.names[:4]
    write_json(_about_of(store.output), store.about)
    with (
        atomic_file(store.output) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow([*names, *(f"e{k}" for k in range(store.dimensions))])
        for table in store.tables():
            told = zip(*(table[c].to_pylist() for c in names), strict=True)
            for texts, vector in zip(told, vectors_of(table), strict=True):
                writer.writerow([*texts, *map(repr, vector.tolist())])


_WRITERS: dict[str, Callable[[Store], None]] = {
    ".parquet": _write_parquet,
    ".arrow": _write_arrow,
    ".npy": _write_npy,
    ".csv": _write_csv,
}


def _tracks_of(output: Path) -> Path:
    return output.with_suffix(".tracks.csv")


def _about_of(output: Path) -> Path:
    return output.with_name(output.name + ".json")


# --- reading -------------------------------------------------------------------------------------


def read_store(path: str | Path) -> Stored:
    """Read the vectors of a store of any format.

    Raises:
        SslAudioError: no such file, not one of ours, or a damaged one.
    """
    path = Path(path)
    about = read_about(path)
    ids: list[str] = []
    paths: list[str] = []
    vectors: list[np.ndarray] = []
    for table in _read_output(path, ["id", "path", "embedding"]):
        ids += table["id"].to_pylist()
        paths += table["path"].to_pylist()
        vectors.append(vectors_of(table))
    return Stored(ids, paths, np.concatenate(vectors), about)


def rows_of(path: str | Path) -> Iterator[Row]:
    """A store's rows without their segments, a row group at a time.

    Raises:
        SslAudioError: as `read_store`.
    """
    path = Path(path)
    names = ["id", "path", "duration", "sha256"]
    for table in _read_output(path, [*names, "embedding"]):
        told = (table[name].to_pylist() for name in names)
        for track, file, duration, sha256, vector in zip(*told, vectors_of(table), strict=True):
            yield Row(track, file, duration, sha256, vector)


def read_segments(path: str | Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each track's id, times (n,) in seconds, and segments (n, dimensions), a row group at a time.

    Raises:
        SslAudioError: as `read_store`, or a store without segments.
    """
    path = Path(path)
    if not read_about(path).get("segments"):
        raise SslAudioError(f"{path} has no segments: export it with segments=true")
    for table in _read_output(path, ["id", "times", "segments"]):
        for batch in table.to_batches():
            for track, times, segments in zip(*batch.columns, strict=True):
                numbers = segments.values.flatten().to_numpy(zero_copy_only=False)
                rows = numbers.astype(np.float32).reshape(len(segments.values), -1)
                yield track.as_py(), np.array(times.as_py()), rows


def read_about(path: str | Path) -> dict[str, Any]:
    """What made a store.

    Raises:
        SslAudioError: no such file, or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise SslAudioError(f"{path}: no such file")
    try:
        if path.suffix == ".parquet":
            metadata = pq.read_schema(path).metadata
        elif path.suffix == ".arrow":
            with pa.memory_map(str(path)) as source:
                metadata = pa.ipc.open_file(source).schema.metadata
        else:
            found = _read_json(_about_of(path))
            if found is None:
                raise SslAudioError(f"{path}: no {_about_of(path).name} beside it")
            return found
        return json.loads((metadata or {})[METADATA_KEY])
    except KeyError as error:
        raise SslAudioError(f"{path} is no export of this package: it does not say what made it") \
            from error  # fmt: skip
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SslAudioError(f"{path} is damaged: {error}") from error


def vectors_of(table: pa.Table, dtype: np.dtype[Any] | type = np.float32) -> np.ndarray:
    """(rows, dimensions) of a table's column `embedding`."""
    column = table["embedding"].combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # an empty or a very large one
        column = pa.concat_arrays(column.chunks)
    numbers = column.flatten().to_numpy(zero_copy_only=False)
    return numbers.astype(dtype, copy=False).reshape(len(column), -1)


def _read_output(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    """The row groups of a finished output."""
    wanted = list(columns)
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    yield file.read_row_group(group, columns=wanted)
        elif path.suffix == ".arrow":
            with pa.memory_map(str(path)) as source:
                reader = pa.ipc.open_file(source)
                for number in range(reader.num_record_batches):
                    yield pa.Table.from_batches([reader.get_batch(number)]).select(wanted)
        else:
            yield _read_plain(path).select(wanted)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise SslAudioError(f"{path} is damaged: {error}") from error


def _read_plain(path: Path) -> pa.Table:
    """A .npy with its tracks, or a .csv, as one table."""
    source = _tracks_of(path) if path.suffix == ".npy" else path
    with source.open(newline="", encoding="utf-8") as file:
        names, *rows = list(csv.reader(file))
    if path.suffix == ".npy":
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
        rows = rows[: len(vectors)]  # a run was stopped after it had written the new tracks
    else:
        vectors = np.array([row[4:] for row in rows], np.float32)
    if len(vectors) != len(rows):
        raise ValueError(f"{len(rows)} tracks and {len(vectors)} vectors")
    kind = pa.list_(pa.from_numpy_dtype(vectors.dtype), vectors.shape[1])
    columns = {name: [row[k] for row in rows] for k, name in enumerate(names[:4])}
    return pa.table(
        {
            **{name: pa.array(columns[name], pa.string()) for name in _TEXTS},
            "duration": pa.array([float(value) for value in columns["duration"]], pa.float64()),
            "embedding": _fixed(vectors, kind),
        }
    )


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SslAudioError(f"{path} is damaged: {error}; remove it to begin anew") from error


def write_failures(path: Path, failures: Sequence[tuple[str, str, str]]) -> None:
    """Write id, path and reason of the files that failed; without any, an old list is removed."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "path", "reason"])
    writer.writerows(failures)
    write_text(path, text.getvalue())
