"""The columns of a feature store, and rows as tables of them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

METADATA_KEY = b"ssl_audio"
EMBEDDING = "embedding"
TYPES = {"float32": pa.float32(), "float16": pa.float16()}


class Record(NamedTuple):
    """What a store knows of a track's file; the fields are columns."""

    path: str
    sha256: str = ""  # of the file's bytes
    size: int | None = None  # bytes; None where it is unknown
    mtime_ns: int | None = None  # time of the last change, nanoseconds since 1970
    state: str = ""  # why the row is kept without a usable file: "deleted", "damaged", ...
    note: str = ""  # on its audio: "silent", ...


@dataclass(frozen=True)
class Row:
    """One track of a store."""

    id: str  # unique in the store
    path: str  # of the audio file
    duration: float  # seconds
    sha256: str  # of the file
    vector: np.ndarray  # (dimensions,)
    segments: np.ndarray | None = None  # (n, dimensions), in stores with segments
    times: np.ndarray | None = None  # (n,) starts of the segments, seconds
    size: int | None = None  # of the file, bytes
    mtime_ns: int | None = None  # of the file
    note: str = ""  # on its audio

    @property
    def record(self) -> Record:
        return Record(self.path, self.sha256, self.size, self.mtime_ns, "", self.note)


RECORD_TYPES = {
    "path": pa.string(), "sha256": pa.string(), "size": pa.int64(), "mtime_ns": pa.int64(),
    "state": pa.string(), "note": pa.string(),
}  # fmt: skip
# in stores without the column
_EMPTY = {"sha256": "", "state": "", "note": "", "size": None, "mtime_ns": None, "duration": None}


def rows_table(rows: Sequence[Row], about: Mapping[str, Any]) -> pa.Table:
    """Rows as columns, with `about` as metadata.

    Args:
        rows: one or more.
        about: its `dtype` is that of the vectors; with `segments`, rows have segments.
    """
    vector = pa.list_(TYPES[about["dtype"]], len(rows[0].vector))
    columns: dict[str, pa.Array] = {
        "duration": pa.array([row.duration for row in rows], pa.float64()),
        EMBEDDING: _fixed(np.stack([row.vector for row in rows]), vector),
    }
    if about["segments"]:
        times = [row.times for row in rows if row.times is not None]
        segments = [row.segments for row in rows if row.segments is not None]
        columns["times"] = _lists(times, lambda t: pa.array(t, pa.float64()))
        columns["segments"] = _lists(segments, lambda s: _fixed(s, vector))
    records = [row.record for row in rows]
    return with_records(pa.table(columns), [row.id for row in rows], records, about)


def with_records(
    table: pa.Table, ids: Sequence[str], records: Sequence[Record], about: Mapping[str, Any]
) -> pa.Table:
    """A table with other ids and records: (rows,) of each."""
    columns: dict[str, Any] = {name: table[name] for name in table.column_names}
    columns["id"] = pa.array(ids, pa.string())
    for name, kind in RECORD_TYPES.items():
        columns[name] = pa.array([getattr(record, name) for record in records], kind)
    return _ordered(columns, about)


def completed(table: pa.Table, about: Mapping[str, Any]) -> pa.Table:
    """A table of an older version, or of another program, with the columns that it lacks."""
    columns: dict[str, Any] = {name: table[name] for name in table.column_names}
    for name, value in _EMPTY.items():
        if name not in columns:
            columns[name] = pa.array([value] * table.num_rows, RECORD_TYPES.get(name, pa.float64()))
    return _ordered(columns, about)


def _ordered(columns: dict[str, Any], about: Mapping[str, Any]) -> pa.Table:
    names = [
        "id", "path", "duration", "sha256", "size", "mtime_ns", "state", "note", "key", EMBEDDING,
        *(name for name in ("times", "segments") if name in columns),
    ]  # fmt: skip
    vectors = vectors_of(pa.table({EMBEDDING: columns[EMBEDDING]}))
    columns["key"] = pa.array(keys_of(columns["id"].to_pylist(), vectors), pa.int64())
    return pa.table({name: columns[name] for name in names}, metadata=metadata(about))


def keys_of(ids: Sequence[str], vectors: np.ndarray) -> np.ndarray:
    """A number for each vector under its id, (rows,) int64: 63 bits of a hash of both."""
    rows = np.ascontiguousarray(vectors, np.float32)
    digests = (
        hashlib.blake2b(track.encode() + b"\0" + row.tobytes(), digest_size=8).digest()
        for track, row in zip(ids, rows, strict=True)
    )
    return np.frombuffer(b"".join(digests), np.int64) & np.int64(2**63 - 1)


def vectors_of(table: pa.Table) -> np.ndarray:
    """(rows, dimensions) float32 of the column `embedding`; NaN for a row without a vector.

    Raises:
        ValueError: vectors of different lengths.
    """
    chunks = table[EMBEDDING].chunks or [pa.array([], table[EMBEDDING].type)]
    column = pa.concat_arrays(chunks)
    lengths = pc.unique(pc.list_value_length(column).drop_null()).to_pylist()
    if len(lengths) > 1:
        raise ValueError(f"vectors of {len(lengths)} different lengths")
    filled = column.is_valid().to_numpy(zero_copy_only=False)
    numbers = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    width = lengths[0] if lengths else 0
    if filled.all():
        return numbers.reshape(len(column), width)
    vectors = np.full((len(column), width), np.nan, np.float32)
    vectors[filled] = numbers.reshape(-1, width)
    return vectors


def metadata(about: Mapping[str, Any]) -> dict[bytes, bytes]:
    """`about` as the metadata of a Parquet file."""
    return {METADATA_KEY: json.dumps(dict(about)).encode()}


def _fixed(vectors: np.ndarray, kind: pa.DataType) -> pa.Array:
    """(n, dimensions) as a column of fixed-size lists."""
    numbers = np.ascontiguousarray(vectors, kind.value_type.to_pandas_dtype()).ravel()
    return pa.FixedSizeListArray.from_arrays(pa.array(numbers, kind.value_type), type=kind)


def _lists(groups: Sequence[np.ndarray], column: Callable[[np.ndarray], pa.Array]) -> pa.Array:
    """Arrays of different lengths as a column of lists."""
    offsets = np.cumsum([0, *map(len, groups)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), column(np.concatenate(groups)))
