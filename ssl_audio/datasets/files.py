"""Publishers' files: an error names the file, and the line of a table."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from ssl_audio.io.errors import SslAudioError, named


def reading(path: Path) -> AbstractContextManager[None]:
    """Context in which a file is read: one that cannot be read is an `SslAudioError`."""
    return named(f"cannot read {path}", ValueError, csv.Error)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8."""
    with reading(path):
        return path.read_text(encoding="utf-8")


def read_array(path: Path) -> np.ndarray:
    """The array of an `.npy` file."""
    with reading(path):
        return np.asarray(np.load(path, allow_pickle=False))


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file in UTF-8 that has some columns, each with its place for errors."""
    with reading(path), path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if not set(columns) <= set(reader.fieldnames or ()):
            raise SslAudioError(f"{path}: no columns {', '.join(columns)}")
        for row in reader:
            yield f"{path}, line {reader.line_num}", row
