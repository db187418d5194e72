"""Reading of feature stores: Parquet files with a row per track, written by `stores.writer`.

All readers raise an SslAudioError for a file that is missing, damaged or of another format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ssl_audio.io.errors import SslAudioError, first_line

METADATA_KEY = b"ssl_audio"
TEXTS = ["id", "path", "duration", "sha256"]
EMBEDDING = "embedding"


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


@dataclass(frozen=True)
class Stored:
    """A store in memory."""

    ids: list[str]
    paths: list[str]
    vectors: np.ndarray  # (tracks, dimensions) float32
    about: dict[str, Any]  # how the vectors were made


def read_store(path: str | Path) -> Stored:
    """Read the vectors of a store into memory."""
    path = Path(path)
    about, ids = read_about(path), read_ids(path)
    paths: list[str] = []
    vectors = np.zeros((len(ids), 0), np.float32)
    for table, part in _read_vectors(path, ["path"]):
        if not paths:
            vectors = np.empty((len(ids), part.shape[1]), np.float32)
        vectors[len(paths) : len(paths) + len(part)] = part
        paths += table["path"].to_pylist()
    return Stored(ids, paths, vectors, about)


def read_ids(path: str | Path) -> list[str]:
    """The ids of a store's tracks, in its order."""
    return [track for table in read_tables(Path(path), ["id"]) for track in table["id"].to_pylist()]


def read_rows(path: str | Path) -> Iterator[Row]:
    """The rows of a store without their segments, one row group in memory at a time."""
    for table, vectors in _read_vectors(Path(path), TEXTS):
        columns = (table[name].to_pylist() for name in TEXTS)
        for values in zip(*columns, vectors, strict=True):
            yield Row(*values)


def read_aligned(path: str | Path, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of given tracks, one row group in memory at a time.

    Args:
        path: the store; its rows of other tracks are skipped.
        ids: of the tracks, each once.

    Returns:
        (tracks, dimensions) float32, 0 where a track has no vector or one that is not finite, and
        (tracks,) bool, False there.

    Raises:
        SslAudioError: no track in common.
    """
    path = Path(path)
    known = pa.array(read_ids(path), pa.string())
    found = pc.index_in(known, value_set=pa.array(list(ids), pa.string()))
    places = found.fill_null(-1).to_numpy(zero_copy_only=False)
    if not (places >= 0).any():
        raise SslAudioError(f"{path} has none of the {len(ids)} tracks: do the ids agree?")
    values, present, first = np.zeros((len(ids), 0), np.float32), np.zeros(len(ids), bool), 0
    for _, vectors in _read_vectors(path, []):
        if not values.shape[1]:
            values = np.zeros((len(ids), vectors.shape[1]), np.float32)
        places_here = places[first : first + len(vectors)]
        usable = (places_here >= 0) & np.isfinite(vectors).all(axis=1)
        values[places_here[usable]] = vectors[usable]
        present[places_here[usable]] = True
        first += len(vectors)
    return values, present


def read_segments(path: str | Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each track's id, times (n,) in seconds and segments (n, dimensions), a row group at a time.

    Raises:
        SslAudioError: a store without segments.
    """
    path = Path(path)
    if not read_about(path).get("segments"):
        raise SslAudioError(f"{path} has no segments: write it with segments=true")
    for table in read_tables(path, ["id", "times", "segments"]):
        for batch in table.to_batches():
            for track, times, segments in zip(*batch.columns, strict=True):
                rows = segments.values.flatten().to_numpy(zero_copy_only=False)
                rows = rows.astype(np.float32, copy=False).reshape(len(segments.values), -1)
                yield track.as_py(), np.array(times.as_py()), rows


def read_about(path: str | Path) -> dict[str, Any]:
    """How the vectors of a store were made; empty for a Parquet file of another program."""
    with _opened(Path(path)) as file:
        metadata = file.schema_arrow.metadata or {}
        return dict(json.loads(metadata.get(METADATA_KEY, b"{}")))


def read_tables(path: Path, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The row groups of a store."""
    with _opened(path) as file:
        missing = sorted({"id", *(columns or [])} - set(file.schema_arrow.names))
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        for group in range(file.num_row_groups):
            yield file.read_row_group(group, columns=columns)


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """An open Parquet file; its errors become SslAudioErrors."""
    if not path.exists():
        raise SslAudioError(f"{path}: no such file")
    if path.suffix != ".parquet":
        raise SslAudioError(
            f"{path}: a feature store is a Parquet file. With pandas: DataFrame({{'id': ids, "
            "'path': paths, 'embedding': list(vectors)}).to_parquet('NAME.parquet')"
        )
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            yield file
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        reason = first_line(error)
        raise SslAudioError(f"{path} is damaged or no feature store: {reason}") from error


def _read_vectors(path: Path, columns: list[str]) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Each row group, with the vectors of its rows."""
    with _opened(path):
        for table in read_tables(path, [*columns, EMBEDDING]):
            yield table, _vectors(table)


def _vectors(table: pa.Table) -> np.ndarray:
    """(rows, dimensions) float32 of the column `embedding`; NaN for a row without a vector.

    Raises:
        ValueError: vectors of different lengths.
    """
    column = pa.concat_arrays(table[EMBEDDING].chunks) if table.num_rows else table[EMBEDDING]
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
