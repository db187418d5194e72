"""Reading of feature stores: tables with a row per track, written by `stores.writer`.

A store is one Parquet file, or a folder of them with a manifest. All readers raise an
SslAudioError for a store that is missing, damaged or of another format.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ssl_audio.io.errors import SslAudioError, named
from ssl_audio.io.files import file_sha256
from ssl_audio.io.json_file import parse_json
from ssl_audio.stores.columns import EMBEDDING, METADATA_KEY, Row, completed, vectors_of
from ssl_audio.stores.manifest import MANIFEST, Part, read_manifest

Chosen = Callable[[str], bool]  # of an id
TEXTS = ["id", "path", "duration", "sha256"]


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
    with _opened(path) as files:
        count = _count(files)
        ids: list[str] = []
        paths: list[str] = []
        vectors = np.zeros((count, 0), np.float32)
        for table, part in _vectors(files, ["path"]):
            if not vectors.shape[1]:
                vectors = np.empty((count, part.shape[1]), np.float32)
            vectors[len(ids) : len(ids) + len(part)] = part
            ids += table["id"].to_pylist()
            paths += table["path"].to_pylist()
    return Stored(ids, paths, vectors, read_about(path))


def count_rows(path: str | Path) -> int:
    """The number of a store's tracks; no column is read."""
    with _opened(Path(path)) as files:
        return _count(files)


def count_groups(path: Path) -> int:
    """The number of a store's row groups."""
    with _opened(path) as files:
        return sum(one.file.num_row_groups for one in files)


def read_ids(path: str | Path) -> list[str]:
    """The ids of a store's tracks, in its order."""
    return [track for table in read_tables(Path(path), ["id"]) for track in table["id"].to_pylist()]


def read_rows(path: str | Path) -> Iterator[Row]:
    """The rows of a store without their segments, one row group in memory at a time."""
    for table, vectors in read_vectors(Path(path), TEXTS[1:]):
        columns = (table[name].to_pylist() for name in TEXTS)
        for values in zip(*columns, vectors, strict=True):
            yield Row(*values)


def read_aligned(path: str | Path, ids: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of given tracks, one row group in memory at a time.

    Args:
        path: the store; row groups without any of the tracks are skipped.
        ids: of the tracks, each once.

    Returns:
        (tracks, dimensions) float32, 0 where a track has no vector or one that is not finite, and
        (tracks,) bool, False there.

    Raises:
        SslAudioError: no track in common.
    """
    place_of = {track: place for place, track in enumerate(ids)}
    values, present = np.zeros((len(ids), 0), np.float32), np.zeros(len(ids), bool)
    known = False
    for table, vectors in read_vectors(Path(path), [], place_of.__contains__):
        if not known:
            values, known = np.zeros((len(ids), vectors.shape[1]), np.float32), True
        places = np.array([place_of[track] for track in table["id"].to_pylist()])
        usable = np.isfinite(vectors).all(axis=1)
        values[places[usable]] = vectors[usable]
        present[places[usable]] = True
    if not known:
        raise SslAudioError(f"{path} has none of the {len(ids)} tracks: do the ids agree?")
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
    path = Path(path)
    if path.is_dir():
        return dict(read_manifest(path).about)
    with _opened(path) as (opened,):
        metadata = opened.file.schema_arrow.metadata or {}
        with _named(path):
            return dict(parse_json(metadata.get(METADATA_KEY, b"{}")))


def read_schema(path: Path) -> pa.Schema | None:
    """The columns of a store; None for one without rows."""
    with _opened(path) as files:
        return files[0].file.schema_arrow if files else None


def read_version(path: Path) -> str:
    """What changes with every change of a store's rows."""
    if path.is_dir():
        return file_sha256(path / MANIFEST)
    status = path.stat()
    return f"{status.st_size}:{status.st_mtime_ns}"


def read_tables(
    path: Path, columns: list[str] | None = None, chosen: Chosen | None = None
) -> Iterator[pa.Table]:
    """The row groups of a store; with `chosen`, the rows of the ids for which it is true, and
    nothing of a row group without any is read but its column `id`."""
    with _opened(path) as files:
        for opened in files:
            yield from opened.tables(columns, chosen)


def read_completed(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    """The row groups of a store; columns that an older version or another program has not written
    are empty, and `key` is computed."""
    schema = read_schema(path)
    if schema is None:
        return
    missing = not set(columns) <= set(schema.names)
    for table in read_tables(path, None if missing else columns):
        yield completed(table, {}).select(columns) if missing else table


def read_part(folder: Path, part: Part, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The row groups of one part of a store."""
    with _open(folder / part.name, part) as opened:
        yield from opened.tables(columns)


@dataclass(frozen=True)
class _Opened:
    """A Parquet file of a store, open."""

    path: Path
    file: pq.ParquetFile
    dropped: np.ndarray  # rows that are not of the store

    @property
    def count(self) -> int:
        """Rows of the store."""
        return int(self.file.metadata.num_rows) - len(self.dropped)

    def tables(self, columns: list[str] | None, chosen: Chosen | None = None) -> Iterator[pa.Table]:
        """The row groups without the dropped rows; with `chosen`, without other tracks."""
        with _named(self.path):
            yield from self._groups(columns, chosen)

    def _groups(self, columns: list[str] | None, chosen: Chosen | None) -> Iterator[pa.Table]:
        missing = sorted({"id", *(columns or [])} - set(self.file.schema_arrow.names))
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        first = 0
        for group in range(self.file.num_row_groups):
            rows = np.ones(self.file.metadata.row_group(group).num_rows, bool)
            if chosen is not None:
                names = self.file.read_row_group(group, columns=["id"])["id"].to_pylist()
                rows = np.fromiter(map(chosen, names), bool, len(names))
            here = self.dropped[(self.dropped >= first) & (self.dropped < first + len(rows))]
            first += len(rows)
            rows[here - first + len(rows)] = False
            if chosen is not None and not rows.any():
                continue
            table = self.file.read_row_group(group, columns=columns)
            yield table if rows.all() else table.filter(pa.array(rows))


def _count(files: list[_Opened]) -> int:
    return sum(opened.count for opened in files)


@contextmanager
def _opened(path: Path) -> Iterator[list[_Opened]]:
    """The Parquet files of a store, all open: what a writer removes meanwhile is still read."""
    if not path.exists():
        raise SslAudioError(f"{path}: no such file")
    if path.suffix != ".parquet":
        raise SslAudioError(
            f"{path}: a feature store is NAME.parquet. With pandas: DataFrame({{'id': ids, "
            "'path': paths, 'embedding': list(vectors)}).to_parquet('NAME.parquet')"
        )
    with ExitStack() as stack:
        yield _open_all(path, stack)


def _open_all(path: Path, stack: ExitStack) -> list[_Opened]:
    while True:
        files = _files(path)
        try:
            return [stack.enter_context(_open(one, part)) for one, part in files]
        except SslAudioError:
            if files == _files(path):  # else a writer has just replaced parts
                raise


def _files(path: Path) -> list[tuple[Path, Part | None]]:
    """The files of a store, in its order."""
    if not path.is_dir():
        return [(path, None)]
    return [(path / part.name, part) for part in read_manifest(path).parts]


@contextmanager
def _open(path: Path, part: Part | None = None) -> Iterator[_Opened]:
    with _named(path):
        file = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
        if part and file.metadata.num_rows != part.rows:
            raise ValueError(f"{file.metadata.num_rows} rows, not {part.rows}")
    with file:
        yield _Opened(path, file, np.array(part.dropped if part else [], np.int64))


def _named(path: Path) -> AbstractContextManager[None]:
    """Errors of a Parquet file become SslAudioErrors that name it."""
    return named(f"{path} is damaged or no feature store", ValueError, KeyError, pa.ArrowException)


def read_vectors(
    path: Path, columns: list[str], chosen: Chosen | None = None
) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Each row group with the given columns and `id`, and the vectors of its rows."""
    with _opened(path) as files:
        yield from _vectors(files, columns, chosen)


def _vectors(
    files: list[_Opened], columns: list[str], chosen: Chosen | None = None
) -> Iterator[tuple[pa.Table, np.ndarray]]:
    for opened in files:
        for table in opened.tables(["id", *columns, EMBEDDING], chosen):
            with _named(opened.path):
                vectors = vectors_of(table)
            yield table, vectors
