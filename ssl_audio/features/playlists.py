"""Playlists as pairs of names, from a table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ssl_audio.errors import SslAudioError

COLUMNS = ("playlist", "track")


def read_playlists(path: str | Path) -> list[tuple[str, str]]:
    """The (playlist, track) pairs of a CSV or Parquet file with those two columns.

    Raises:
        SslAudioError: no such file, other columns, or a malformed line (with its number).
    """
    path = Path(path)
    if not path.is_file():
        raise SslAudioError(f"playlists={path}: no such file")
    found = list(_parquet(path) if path.suffix == ".parquet" else _csv(path))
    if not found:
        raise SslAudioError(f"playlists={path}: no line in it")
    return found


def _csv(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _check_columns(path, reader.fieldnames or ())
            for row in reader:
                if not row["playlist"] or not row["track"]:
                    raise SslAudioError(f"{path}, line {reader.line_num}: no playlist or no track")
                yield row["playlist"], row["track"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SslAudioError(f"cannot read {path}: {error}") from error


def _parquet(path: Path) -> Iterator[tuple[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
        _check_columns(path, names)
        table = pq.read_table(path, columns=list(COLUMNS))
    except (OSError, pa.ArrowException) as error:
        raise SslAudioError(f"cannot read {path}: {error}") from error
    for playlist, track in zip(*(table[c].to_pylist() for c in COLUMNS), strict=True):
        yield str(playlist), str(track)


def _check_columns(path: Path, names: object) -> None:
    missing = [c for c in COLUMNS if c not in list(names)]  # type: ignore[call-overload]
    if missing:
        raise SslAudioError(f"{path}: no column {missing[0]}; playlist and track are wanted")
