"""MovieLens as a catalogue and events: ml-latest-small, ml-20m, ml-25m and others of their form.

A folder with movies.csv, ratings.csv and, for tags as categories, tags.csv.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pa_csv
from scipy.sparse import csr_matrix

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue
from ssl_audio.recommenders.data.sessions import Events

MOVIES = {"movieId": pa.int64(), "title": pa.string(), "genres": pa.string()}
RATINGS = {
    "userId": pa.int64(), "movieId": pa.int64(), "rating": pa.float32(), "timestamp": pa.int64(),
}  # fmt: skip
TAGS = {"userId": pa.int64(), "movieId": pa.int64(), "tag": pa.string(), "timestamp": pa.int64()}
NO_GENRES = "(no genres listed)"
LEAST_TAGGED = 5  # times that a tag was given, to be a category


@dataclass(frozen=True)
class MovieLens:
    """A MovieLens folder.

    Attributes:
        catalogue: a row for each movie, in the order of movies.csv; ids are MovieLens's.
        events: the ratings, 0.5 to 5, in the order of ratings.csv; times are seconds since 1970.
        categories: (movies, categories) float32: 1 for a genre; for a tag, how many times it was
            given.
        names: (categories,) sorted.
    """

    catalogue: Catalogue
    events: Events
    categories: csr_matrix
    names: list[str]


def read_movielens(
    folder: str | Path, categories: Literal["genres", "tags"] = "genres"
) -> MovieLens:
    """Read a folder.

    Args:
        folder: as unpacked from grouplens.org.
        categories: what a movie's categories are. Tags are compared without case, and those that
            were given less than five times, over all movies, are left out.

    Raises:
        SslAudioError: a file is missing or malformed: which, and in which line.
    """
    folder = Path(folder)
    movies = _read(folder / "movies.csv", MOVIES)
    ratings = _read(folder / "ratings.csv", RATINGS)
    ids = movies["movieId"].to_numpy()
    genres = [g if g != NO_GENRES else "" for g in movies["genres"].to_pylist()]
    catalogue = Catalogue(
        [str(i) for i in ids.tolist()], genres=genres, titles=movies["title"].to_pylist()
    )
    if len(catalogue.row) != len(ids):
        _complain(folder / "movies.csv", MOVIES, _seen_before())
    stars = ratings["rating"].to_numpy()
    if not np.all((stars >= 0.5) & (stars <= 5)):
        _complain(folder / "ratings.csv", RATINGS, _outside_ratings)
    events = Events(
        user=ratings["userId"].to_numpy(),
        item=_rows(folder / "ratings.csv", RATINGS, ratings, ids),
        time=ratings["timestamp"].to_numpy().astype(np.float64),
        rating=stars,
    )
    if categories == "genres":
        return MovieLens(catalogue, events, *_genres(genres))
    return MovieLens(catalogue, events, *_tags(folder, ids))


def _genres(genres: list[str]) -> tuple[csr_matrix, list[str]]:
    lists = [g.split("|") if g else [] for g in genres]
    rows = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    flat = np.array([g for one in lists for g in one], dtype=str)
    names, columns = np.unique(flat, return_inverse=True)
    table = csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), (len(lists), len(names)))
    table.data[:] = 1.0  # a genre named twice
    return table, names.tolist()


def _tags(folder: Path, ids: np.ndarray) -> tuple[csr_matrix, list[str]]:
    table = _read(folder / "tags.csv", TAGS)
    rows = _rows(folder / "tags.csv", TAGS, table, ids)
    words = pc.utf8_lower(pc.utf8_trim_whitespace(table["tag"])).combine_chunks()
    coded = words.dictionary_encode()
    codes, found = coded.indices.to_numpy(), coded.dictionary.to_pylist()
    frequent = np.flatnonzero(np.bincount(codes, minlength=len(found)) >= LEAST_TAGGED)
    frequent = frequent[np.argsort([found[k] for k in frequent], kind="stable")]
    column = np.full(len(found), -1)
    column[frequent] = np.arange(len(frequent))
    kept = column[codes] >= 0
    shape = (len(ids), len(frequent))
    given = csr_matrix((np.ones(kept.sum(), np.float32), (rows[kept], column[codes][kept])), shape)
    return given, [found[k] for k in frequent]


def _read(path: Path, columns: dict[str, pa.DataType]) -> pa.Table:
    """The columns of a CSV file, none with an empty cell.

    Raises:
        SslAudioError: missing, or malformed.
    """
    convert = pa_csv.ConvertOptions(column_types=columns, include_columns=list(columns))
    try:
        table = pa_csv.read_csv(path, convert_options=convert)
    except FileNotFoundError as error:
        raise SslAudioError(f"{path}: no such file; give the folder of a MovieLens set") from error
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        _complain(path, columns, _unreadable(columns))
        raise SslAudioError(f"{path}: {str(error).splitlines()[0]}") from error
    if any(table[name].null_count for name in columns):
        _complain(path, columns, _unreadable(columns))
    return table


def _rows(
    path: Path, columns: dict[str, pa.DataType], table: pa.Table, ids: np.ndarray
) -> np.ndarray:
    """(lines,) int32 catalogue rows of a table's movies."""
    wanted = table["movieId"].to_numpy()
    order = np.argsort(ids, kind="stable")
    place = np.minimum(np.searchsorted(ids, wanted, sorter=order), max(len(ids) - 1, 0))
    rows = order[place] if len(ids) else np.full(len(wanted), -1)
    if not len(ids) or (ids[rows] != wanted).any():
        known = set(ids.tolist())
        _complain(path, columns, lambda line: (
            "" if int(line["movieId"]) in known else f"movie {line['movieId']} is not in movies.csv"
        ))  # fmt: skip
    return rows.astype(np.int32)


def _complain(
    path: Path, columns: dict[str, pa.DataType], wrong: Callable[[dict[str, Any]], str]
) -> None:
    """Look for the first line that is wrong; slow, and only where one is known to be.

    Raises:
        SslAudioError: always if there is one: the file, the line, and what is wrong with it.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in columns if name not in (reader.fieldnames or [])]:
                raise SslAudioError(f"{path}, line 1: no column {', '.join(missing)}")
            for line in reader:
                if reason := wrong(line):
                    raise SslAudioError(f"{path}, line {reader.line_num}: {reason}")
    except UnicodeDecodeError as error:
        raise SslAudioError(f"{path}: not UTF-8 text") from error


def _unreadable(columns: dict[str, pa.DataType]) -> Callable[[dict[str, Any]], str]:
    def wrong(line: dict[str, Any]) -> str:
        if None in line or None in line.values():
            return f"{len(line)} columns wanted, more or fewer found"
        for name, kind in columns.items():
            try:
                _ = line[name] if kind == pa.string() else pa.scalar(line[name]).cast(kind)
            except pa.ArrowInvalid:
                return f"{name}={line[name]!r} is no number"
        return ""

    return wrong


def _outside_ratings(line: dict[str, Any]) -> str:
    return "" if 0.5 <= float(line["rating"]) <= 5 else f"rating={line['rating']}: 0.5 to 5"


def _seen_before() -> Callable[[dict[str, Any]], str]:
    seen: set[int] = set()

    def wrong(line: dict[str, Any]) -> str:
        movie = int(line["movieId"])
        if movie in seen:
            return f"movie {movie} twice"
        seen.add(movie)
        return ""

    return wrong
