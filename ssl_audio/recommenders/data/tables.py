"""Playlists in CSV and Parquet tables with a row per position.

Columns: playlist and track; optionally position, and title, artist, album and genre of the track.
Rows of a playlist need not be adjacent; without positions, the order of rows counts.
"""

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.errors import SslAudioError, named
from ssl_audio.recommenders.data.collection import Catalogue, Playlists
from ssl_audio.recommenders.data.grouping import grouped
from ssl_audio.recommenders.data.records import DETAILS, Record

BATCH = 131_072  # rows read at a time
COLUMNS = {name: name for name in ("playlist", "track", "position", *DETAILS)}
REQUIRED = ("playlist", "track", "position")  # no empty cell in them
Batch = tuple[dict[str, pa.Array], Sequence[int]]  # columns, and the number of each row


def read_table(
    path: Path, columns: Mapping[str, str] = COLUMNS, idle: float | None = None
) -> Iterator[Record]:
    """Metadata of tracks, then playlists in the order of their first rows.

    Args:
        path: ends with .csv or .csv.gz (UTF-8, with a header) or .parquet. Ids and metadata may be
            numbers, positions any numbers or times.
        columns: the file's names of playlist, track, position and details; those of details may be
            missing.
        idle: gap in seconds that divides the rows of `playlist`; see `grouping.grouped`.

    Raises:
        SslAudioError: a malformed file: names the line of the CSV or the row of the Parquet file.
    """
    parquet = path.suffix.lower() == ".parquet"
    unit = "row" if parquet else "line"
    read = _read_parquet if parquet else _read_csv
    with named(f"cannot read {path}", pa.ArrowException):
        parts = [_checked(path, unit, *batch) for batch in read(path, columns)]
    yield from grouped(pa.concat_tables(parts, promote_options="permissive"), idle)


def _checked(
    path: Path, unit: str, columns: Mapping[str, pa.Array], rows: Sequence[int]
) -> pa.Table:
    """Columns of text, and of numbers for positions, without empty cells in required ones."""
    found: dict[str, Any] = {}
    for name, array in columns.items():
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        values = _numbers(array) if name == "position" else _texts(array)
        if values is None:
            expected = "numbers" if name == "position" else "text or numbers"
            raise SslAudioError(f"{path}: column {name} is of type {array.type}, not {expected}")
        if name not in REQUIRED:
            found[name] = values.fill_null("")
            continue
        bad = values.is_null() if name == "position" else pc.equal(values.fill_null(""), "")
        if pc.any(bad).as_py():
            place = f"{path}, {unit} {rows[bad.index(True).as_py()]}"
            wrong = "position is not a number" if name == "position" else f"no {name}"
            raise SslAudioError(f"{place}: {wrong}")
        found[name] = values if name == "position" else values.dictionary_encode()
    return pa.table(found)


def _texts(array: pa.Array) -> pa.Array | None:
    """The values as text, null for none and NaN; whole numbers without a point. None: no text."""
    kind = array.type
    if pa.types.is_nested(kind) or pa.types.is_boolean(kind):
        return None
    if pa.types.is_floating(kind):  # such as whole numbers that pandas stores beside empty cells
        values = array.cast("float64").to_numpy(zero_copy_only=False)
        empty = np.isnan(values)
        if (np.mod(values[~empty], 1) == 0).all() and (np.abs(values[~empty]) < 2**53).all():
            whole = np.where(empty, 0, values).astype(np.int64)
            return pa.array(whole, mask=empty).cast("string")
    return array.cast("string")


def _numbers(array: pa.Array) -> pa.Array | None:
    """The values as int64 or float64, null where there is no finite one. None: no numbers."""
    kind = array.type
    if pa.types.is_date32(kind):
        array = array.cast("int32")
    if pa.types.is_integer(array.type) or pa.types.is_temporal(kind) or pa.types.is_null(kind):
        return array.cast("int64")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        try:
            return array.cast("int64")
        except pa.ArrowInvalid:
            array = pa.array([_number(text) for text in array.to_pylist()], "float64")
    elif not (pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    values = array.cast("float64")
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, "float64"))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _used_columns(path: Path, names: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """The columns that the file has.

    Raises:
        SslAudioError: no playlist or track, no position under a name of its own, or one repeated.
    """
    for key in ("playlist", "track", "position"):
        name = columns.get(key, key)
        if name not in names and (key != "position" or name != key):
            raise SslAudioError(f"{path}: no column {name} among {', '.join(names[:20]) or 'none'}")
    used = {key: name for key, name in columns.items() if name in names}
    for name in used.values():
        if names.count(name) > 1:
            raise SslAudioError(f"{path}: more than one column {name}")
    return used


def _read_csv(path: Path, columns: Mapping[str, str]) -> Iterator[Batch]:
    reader = csv.reader(_decoded_lines(path), strict=True)
    last = 0  # line where the last record ended
    try:
        header = next(reader, [])
        used = _used_columns(path, header, columns)
        places = {key: header.index(name) for key, name in used.items()}
        last = reader.line_num
        records: list[tuple[int, list[str]]] = []
        for record in reader:
            line, last = last + 1, reader.line_num  # a quoted field may contain line breaks
            if record and len(record) != len(header):
                wrong = f"{len(record)} fields; the header has {len(header)}"
                raise SslAudioError(f"{path}, line {line}: {wrong}")
            if record:
                records.append((line, record))
            if len(records) == BATCH:
                yield _columns(records, places)
                records = []
        yield _columns(records, places)
    except csv.Error as error:
        raise SslAudioError(f"{path}, line {last + 1}: {error}") from error


def _columns(records: list[tuple[int, list[str]]], places: Mapping[str, int]) -> Batch:
    columns = {
        key: pa.array([record[at] for _, record in records], pa.string())
        for key, at in places.items()
    }
    return columns, [line for line, _ in records]


def _decoded_lines(path: Path) -> Iterator[str]:
    """Lines of a UTF-8 file, plain or compressed; an invalid byte is reported with its line."""
    number = 0
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with named(f"cannot read {path}", EOFError), opened(path, "rb") as file:
            for number, line in enumerate(file, 1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise SslAudioError(f"{path}, line {number}: not UTF-8") from error


def _read_parquet(path: Path, columns: Mapping[str, str]) -> Iterator[Batch]:
    start = 1
    with pq.ParquetFile(path) as file:
        used = _used_columns(path, file.schema_arrow.names, columns)
        for batch in file.iter_batches(BATCH, columns=list(used.values())):
            found = {key: batch.column(name) for key, name in used.items()}
            yield found, range(start, start + len(batch))
            start += len(batch)
        if start == 1:
            empty = {key: pa.array([], pa.string()) for key in used}
            yield empty, range(0)


def write_table(path: str | Path, playlists: Playlists, catalogue: Catalogue) -> None:
    """Write playlists as Parquet with the columns playlist, position and track, atomically.

    Raises:
        SslAudioError: the file cannot be written.
    """
    columns = {
        "playlist": pa.array(playlists.ids, pa.string()).take(pa.array(playlists.owners)),
        "position": pa.array(playlists.places),
        "track": pa.array(catalogue.ids, pa.string()).take(pa.array(playlists.tracks)),
    }
    with named(f"cannot write {path}"), atomic_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")
