"""Playlists in CSV and Parquet tables with a row per position.

Columns: playlist and track; optionally position, and title, artist, album and genre of the track.
Rows of a playlist need not be adjacent; without positions, the order of rows counts.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.recommenders.data.collection import Catalogue, Playlists
from ssl_audio.recommenders.data.csr import group_by
from ssl_audio.recommenders.data.records import (
    DETAILS,
    Numbering,
    Record,
    SourcePlaylist,
    SourceTrack,
)

BATCH = 131_072  # rows read at a time
Batch = tuple[dict[str, Sequence[Any]], Sequence[int], str]  # columns, row numbers, name of a row


def read_table(path: Path) -> Iterator[Record]:
    """Metadata of tracks, then playlists in the order of their first rows.

    Args:
        path: ends with .csv (UTF-8, with a header) or .parquet (ids may be numbers).

    Raises:
        SslAudioError: a malformed file: names the line of the CSV or the row of the Parquet file.
    """
    playlists, tracks = Numbering(), Numbering()
    owners, members, positions = array("i"), array("i"), array("d")
    read = _read_csv if path.suffix.lower() == ".csv" else _read_parquet
    for columns, rows, unit in read(path):
        for name in ("playlist", "track"):
            _refuse(path, unit, rows, [not value for value in columns[name]], f"no {name}")
        if "position" in columns:
            numbers = [_number(value) for value in columns["position"]]
            bad = [not math.isfinite(number) for number in numbers]
            _refuse(path, unit, rows, bad, "position is not a number")
            positions.extend(numbers)
        known = len(tracks)
        owners.extend(playlists[name] for name in columns["playlist"])
        members.extend(tracks[name] for name in columns["track"])
        details = [name for name in DETAILS if name in columns]
        for row, number in enumerate(members[-len(rows) :] if details else ()):
            if number == known:  # the first row of a new track
                known += 1
                values = {name: columns[name][row] or "" for name in details}
                yield SourceTrack(columns["track"][row], **values)
    yield from _grouped(list(playlists), list(tracks), owners, members, positions)


def _grouped(
    playlists: list[str],
    tracks: list[str],
    owners: array[int],
    members: array[int],
    positions: array[float],
) -> Iterator[SourcePlaylist]:
    """Playlists from numbers of playlists and tracks, row by row; `positions` may be empty."""
    owner = np.frombuffer(owners, np.int32)
    by_position = np.arange(len(owner))
    if len(positions):
        by_position = np.argsort(np.frombuffer(positions, np.float64), kind="stable")
    order, offsets = group_by(owner[by_position], len(playlists))
    names = np.array(tracks, dtype=object)
    ordered = np.frombuffer(members, np.int32)[by_position[order]]
    starts, ends = offsets[:-1].tolist(), offsets[1:].tolist()
    for name, start, end in zip(playlists, starts, ends, strict=True):
        yield SourcePlaylist(name, names[ordered[start:end]].tolist())


def _refuse(path: Path, unit: str, rows: Sequence[int], bad: list[bool], reason: str) -> None:
    if any(bad):
        raise SslAudioError(f"{path}, {unit} {rows[bad.index(True)]}: {reason}")


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _used_columns(path: Path, names: Sequence[str]) -> list[str]:
    for name in ("playlist", "track"):
        if name not in names:
            raise SslAudioError(f"{path}: no column {name}; playlist and track are required")
    return [n for n in ("playlist", "track", "position", *DETAILS) if n in names]


def _read_csv(path: Path) -> Iterator[Batch]:
    reader = csv.reader(_decoded_lines(path), strict=True)
    last = 0  # line where the last record ended
    try:
        header = next(reader, [])
        used = {name: header.index(name) for name in _used_columns(path, header)}
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
                yield _columns(records, used)
                records = []
        yield _columns(records, used)
    except csv.Error as error:
        raise SslAudioError(f"{path}, line {last + 1}: {error}") from error


def _columns(records: list[tuple[int, list[str]]], used: dict[str, int]) -> Batch:
    columns: dict[str, Sequence[Any]] = {
        name: [record[at] for _, record in records] for name, at in used.items()
    }
    return columns, [line for line, _ in records], "line"


def _decoded_lines(path: Path) -> Iterator[str]:
    """Lines of a UTF-8 file; an invalid byte is reported with its line."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise SslAudioError(f"{path}, line {number}: not UTF-8") from error
    except OSError as error:
        raise SslAudioError(f"cannot read {path}: {error}") from error


def _read_parquet(path: Path) -> Iterator[Batch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = 1
    try:
        with pq.ParquetFile(path) as file:
            used = _used_columns(path, file.schema_arrow.names)
            for batch in file.iter_batches(BATCH, columns=used):
                columns = {name: batch[name].cast("string").to_pylist() for name in used}
                yield columns, range(start, start + len(batch)), "row"
                start += len(batch)
    except (OSError, pa.ArrowException) as error:
        raise SslAudioError(f"cannot read {path}: {first_line(error)}") from error


def write_table(path: str | Path, playlists: Playlists, catalogue: Catalogue) -> None:
    """Write playlists as Parquet with the columns playlist, position and track, atomically.

    Args:
        path: ends with .parquet.
        playlists: rows of the catalogue.
        catalogue: ids of the tracks.

    Raises:
        SslAudioError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "playlist": pa.array(playlists.ids, pa.string()).take(pa.array(playlists.owners)),
        "position": pa.array(playlists.places),
        "track": pa.array(catalogue.ids, pa.string()).take(pa.array(playlists.tracks)),
    }
    try:
        with atomic_file(path) as temporary:
            pq.write_table(pa.table(columns), temporary, compression="zstd")
    except OSError as error:
        raise SslAudioError(f"cannot write {path}: {error.strerror}") from error
