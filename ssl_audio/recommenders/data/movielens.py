"""MovieLens as a catalogue and events, in each of its published formats.

A folder with movies, ratings and, for tags as categories, tags: .csv with a header (20M, 25M,
latest), .dat with `::` between fields (1M, 10M), or u.item and u.data (100k, which has no tags).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from scipy.sparse import csr_matrix

from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.recommenders.data.collection import Catalogue
from ssl_audio.recommenders.data.csr import offsets_of
from ssl_audio.recommenders.data.sessions import Events

MOVIES = {"movieId": pa.int64(), "title": pa.string(), "genres": pa.string()}
RATINGS = {
    "userId": pa.int64(), "movieId": pa.int64(), "rating": pa.float32(), "timestamp": pa.int64(),
}  # fmt: skip
TAGS = {"userId": pa.int64(), "movieId": pa.int64(), "tag": pa.string(), "timestamp": pa.int64()}
WITHOUT_GENRES = "(no genres listed)"
FILES = {  # names of each table
    "movies": ("movies.csv", "movies.dat", "u.item"),
    "ratings": ("ratings.csv", "ratings.dat", "u.data"),
    "tags": ("tags.csv", "tags.dat"),
}
SEPARATORS = {".dat": "::", ".item": "|", ".data": "\t"}  # of files without a header
# columns of u.item after the title: two dates, an address and a flag a genre
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip
MIN_TAGGED = 5  # occurrences of a tag that is a category


@dataclass(frozen=True)
class MovieLens:
    """A MovieLens folder.

    Attributes:
        catalogue: the movies, in the order of their file; ids are MovieLens's.
        events: the ratings, 0.5 to 5, in the order of their file; times are seconds since 1970.
        categories: (movies, categories) float32: 1 for a genre; number of occurrences of a tag.
        names: (categories,) sorted.
    """

    catalogue: Catalogue
    events: Events
    categories: csr_matrix
    names: list[str]


def read_movielens(
    folder: str | Path, categories: Literal["genres", "tags"] = "genres"
) -> MovieLens:
    """Read a MovieLens folder.

    Args:
        categories: of the movies. Tags are compared in lower case; those given less than
            five times over all movies are left out.

    Raises:
        SslAudioError: a missing or malformed file: names the file and the line.
    """
    folder = Path(folder)
    path = _path(folder, "movies")
    movies, _ = _read(path, MOVIES, None)
    ids = movies["movieId"].to_numpy()
    repeated = np.ones(len(ids), bool)
    repeated[np.unique(ids, return_index=True)[1]] = False
    _refuse(path, repeated, "movie {} is repeated", ids)
    path = _path(folder, "ratings")
    ratings, rated = _read(path, RATINGS, ids)
    stars = ratings["rating"].to_numpy()
    _refuse(path, ~((stars >= 0.5) & (stars <= 5)), "rating={}: 0.5 to 5", stars)
    time = ratings["timestamp"].to_numpy().astype(np.float64)
    events = Events(user=ratings["userId"].to_numpy(), item=rated, time=time, rating=stars)
    genres = [g if g != WITHOUT_GENRES else "" for g in movies["genres"].to_pylist()]
    titles = movies["title"].to_pylist()
    catalogue = Catalogue([str(i) for i in ids.tolist()], genres=genres, titles=titles)
    if categories == "genres":
        return MovieLens(catalogue, events, *_genres(genres))
    return MovieLens(catalogue, events, *_tags(_path(folder, "tags"), ids))


def movielens_files(folder: Path) -> list[Path]:
    """The files that are read from a folder."""
    paths = (folder / name for names in FILES.values() for name in names)
    return [path for path in paths if path.is_file()]


def _path(folder: Path, table: str) -> Path:
    """The file of a table; the first name if there is none, for the error of reading it."""
    found = (folder / name for name in FILES[table] if (folder / name).is_file())
    return next(found, folder / FILES[table][0])


def _genres(genres: list[str]) -> tuple[csr_matrix, list[str]]:
    lists = [sorted(set(g.split("|"))) if g else [] for g in genres]
    names = sorted({name for one in lists for name in one})
    column = {name: k for k, name in enumerate(names)}
    columns = np.array([column[name] for one in lists for name in one], np.int32)
    offsets = offsets_of(np.array([len(one) for one in lists], np.int64))
    entries = np.ones(len(columns), np.float32), columns, offsets
    return csr_matrix(entries, (len(lists), len(names))), names


def _tags(path: Path, ids: np.ndarray) -> tuple[csr_matrix, list[str]]:
    table, rows = _read(path, TAGS, ids)
    tags = pc.utf8_lower(pc.utf8_trim_whitespace(table["tag"])).combine_chunks().dictionary_encode()
    codes, found = tags.indices.to_numpy(), tags.dictionary.to_pylist()
    frequent = np.flatnonzero(np.bincount(codes, minlength=len(found)) >= MIN_TAGGED)
    names = sorted(found[k] for k in frequent)
    place = {name: k for k, name in enumerate(names)}
    columns = np.array([place.get(name, -1) for name in found], np.int64)[codes]
    kept = columns >= 0
    entries = np.ones(kept.sum(), np.float32), (rows[kept], columns[kept])
    return csr_matrix(entries, (len(ids), len(names))), names


def _read(
    path: Path, columns: dict[str, pa.DataType], ids: np.ndarray | None
) -> tuple[pa.Table, np.ndarray]:
    """The columns of a CSV file, and (lines,) int32: the place of each line's movie in `ids`.

    Raises:
        SslAudioError: a missing or malformed file, or a movie that is not among `ids`.
    """
    try:
        table = _parse(path, columns)
    except FileNotFoundError as error:
        raise SslAudioError(f"{path}: no such file; give the folder of a MovieLens set") from error
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise SslAudioError(f"{path}: {first_line(error)}") from error
    for name in columns:
        _refuse(path, table[name].is_null().to_numpy(), f"no {name}", np.empty(len(table)))
    if ids is None:
        return table, np.arange(len(table), dtype=np.int32)
    rows = pc.index_in(table["movieId"], value_set=pa.array(ids)).fill_null(-1).to_numpy()
    _refuse(path, rows < 0, "movie {} is not among the movies", table["movieId"].to_numpy())
    return table, rows.astype(np.int32)


def _parse(path: Path, columns: dict[str, pa.DataType]) -> pa.Table:
    """The columns of a file, with genres separated by `|`."""
    convert = csv.ConvertOptions(column_types=columns, include_columns=list(columns))
    separator = SEPARATORS.get(path.suffix)
    if separator is None:
        in_order = csv.ReadOptions(use_threads=False)  # errors then name the row
        return csv.read_csv(path, read_options=in_order, convert_options=convert)
    content = path.read_bytes().replace(separator.encode(), b"\x1f")
    names = list(columns)
    if path.suffix == ".item":
        names = ["movieId", "title", "released", "video", "address", *GENRES]
        convert = csv.ConvertOptions(column_types={"movieId": pa.int64(), "title": pa.string()})
    try:
        content.decode()
        encoding = "utf8"
    except UnicodeDecodeError:  # 100k and 1M
        encoding = "latin-1"
    reading = csv.ReadOptions(use_threads=False, column_names=names, encoding=encoding)
    parsing = csv.ParseOptions(delimiter="\x1f", quote_char=False)
    table = csv.read_csv(
        pa.BufferReader(content), read_options=reading, parse_options=parsing,
        convert_options=convert,
    )  # fmt: skip
    if path.suffix != ".item":
        return table
    flags = zip(*(table[name].to_pylist() for name in GENRES[1:]), strict=True)
    genres = ["|".join(g for g, on in zip(GENRES[1:], row, strict=True) if on) for row in flags]
    return table.select(["movieId", "title"]).append_column("genres", pa.array(genres))


def _refuse(path: Path, bad: np.ndarray, reason: str, values: np.ndarray) -> None:
    if bad.any():
        first = int(bad.argmax())
        line = first + (1 if path.suffix in SEPARATORS else 2)
        raise SslAudioError(f"{path}, line {line}: {reason.format(values[first])}")
