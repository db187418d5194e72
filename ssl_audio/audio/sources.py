"""Which audio files there are: folders, lists, tables, and MTG-Jamendo's tables."""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_audio.io.atomic import write_text
from ssl_audio.io.console import warn
from ssl_audio.io.errors import SslAudioError, named
from ssl_audio.io.files import AnyPath

SUFFIXES = (  # of formats that libsndfile or FFmpeg decodes
    ".8svx .aac .ac3 .aif .aifc .aiff .amr .ape .au .avr .caf .dff .dsf .flac .m4a .m4b .mka .mp1 "
    ".mp2 .mp3 .mpc .nist .oga .ogg .opus .paf .ra .rf64 .sf .snd .sph .tta .voc .w64 .wav .wave "
    ".webm .wma .wv"
).split()
OTHER_SUFFIXES = (  # of audio that is not decoded: protected, without a header, or scores
    ".aa .aax .cda .gp .it .kar .m4p .mid .midi .mod .pcm .raw .rm .s3m .xm"
).split()

LIST_SUFFIXES = (".txt", ".csv", ".parquet")

_JAMENDO_COLUMNS = ("TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS")


@dataclass(frozen=True)
class Source:
    """An audio file: its path, and its tags, group and artist where a list gives any."""

    path: str
    tags: tuple[str, ...] = ()
    group: str = ""  # what it belongs to, such as an album
    artist: str = ""


def find_audio(root: AnyPath) -> list[Source]:
    """List the audio files below a folder, by suffix, sorted; hidden ones are left out.

    Links to folders are followed, each folder once.

    Raises:
        SslAudioError: no such folder, or no audio in it.
    """
    if not os.path.isdir(root):
        raise SslAudioError(f"{os.fspath(root)!r} is not a folder: give one with audio files")
    found = sorted(_walk(os.path.abspath(root), SUFFIXES))
    if not found:
        suffixes = " ".join(SUFFIXES)
        raise SslAudioError(f"no audio found in {os.fspath(root)!r}; looked for {suffixes}")
    return [Source(path) for path in found]


def find_other_audio(root: AnyPath) -> list[str]:
    """List the files below a folder that look like audio and are not decoded, sorted."""
    return sorted(_walk(os.path.abspath(root), OTHER_SUFFIXES))


def _walk(root: str, suffixes: Sequence[str]) -> Iterator[str]:
    seen = set()
    for folder, folders, names in os.walk(root, onerror=_not_listed, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link to a parent folder would loop
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:
                yield os.path.join(folder, name)


def _not_listed(error: OSError) -> None:
    warn(f"cannot list {error.filename} ({error.strerror}): what is in it is left out")


def read_list(path: AnyPath) -> list[Source]:
    """Read a text file with one path a line, relative to its own folder or absolute.

    Raises:
        SslAudioError: the list cannot be read, or is empty.
    """
    lines = (line.strip() for _, line in numbered_lines(path))
    return _listed(path, [Source(beside(path, line)) for line in lines if line])


def read_table(path: AnyPath) -> list[Source]:
    """Read a manifest: a CSV (.csv) or Parquet file with a column `path`.

    Paths are relative to the table's own folder, or absolute. A column `tags` may give a list of
    tags (Parquet), or text with semicolons between them, and a column `group` what a file belongs
    to, such as an album. Durations are measured, not read.

    Raises:
        SslAudioError: the table cannot be read, has no column `path`, or is empty; a row without a
            path is named by its number.
    """
    rows = _csv_rows(path) if Path(path).suffix.lower() == ".csv" else _parquet_rows(path)
    sources = []
    for number, row in rows:
        if not isinstance(row.get("path"), str) or not row["path"].strip():
            raise SslAudioError(f"{os.fspath(path)}: row {number} has no path")
        group = str(row["group"]) if row.get("group") is not None else ""
        sources.append(Source(beside(path, row["path"].strip()), _tags(row.get("tags")), group))
    return _listed(path, sources)


def list_audio(path: AnyPath) -> list[Source]:
    """List the files of a folder, of a list (.txt) or of a table (.csv, .parquet).

    Raises:
        SslAudioError: none of these, or nothing in it.
    """
    if os.path.isdir(path):
        return find_audio(path)
    suffix = Path(path).suffix.lower()
    if suffix not in LIST_SUFFIXES or not os.path.isfile(path):
        suffixes = ", ".join(LIST_SUFFIXES)
        raise SslAudioError(f"{os.fspath(path)}: no such folder or list of files ({suffixes})")
    return read_list(path) if suffix == ".txt" else read_table(path)


def read_jamendo(tsv: AnyPath, root: AnyPath) -> list[Source]:
    """Read a TSV file of MTG-Jamendo.

    Its columns are TRACK_ID, ARTIST_ID, ALBUM_ID, PATH, DURATION and then one tag in each,
    `category---tag`. Where `48/948.mp3` is missing and `48/948.low.mp3` exists, the latter is used.

    Args:
        root: the folder that its paths are relative to.

    Returns:
        One source a line, its tags sorted and each given once; the album is its group.

    Raises:
        SslAudioError: the file cannot be read, is empty, or has a malformed line, which is named.
    """
    sources = []
    for number, line in numbered_lines(tsv):
        if not line.strip() or (number == 1 and line.startswith("TRACK_ID\t")):
            continue
        artist, album, name, tags = _jamendo_line(f"{os.fspath(tsv)}, line {number}", line)
        sources.append(Source(_jamendo_path(os.path.abspath(root), name), tags, album, artist))
    return _listed(tsv, sources)


def write_jamendo(tsv: Path, rows: Iterable[Sequence[str]]) -> None:
    """Write a TSV file of MTG-Jamendo: of each row the columns, and then its tags."""
    lines = ["\t".join(row) for row in (_JAMENDO_COLUMNS, *rows)]
    write_text(tsv, "\n".join(lines) + "\n")


def _jamendo_line(where: str, line: str) -> tuple[str, str, str, tuple[str, ...]]:
    """Artist, album, path and tags of a line."""
    cells = [cell.strip() for cell in line.split("\t")]
    if len(cells) < 5:
        needed = f"{len(cells)} columns of the 5 before the tags"
        raise SslAudioError(f"{where}: {needed} (tabs between them)")
    name, duration, tags = cells[3], cells[4], [tag for tag in cells[5:] if tag]
    if not name:
        raise SslAudioError(f"{where}: no path in column 4")
    try:
        float(duration)
    except ValueError as error:
        raise SslAudioError(f"{where}: the duration {duration!r} is not a number") from error
    for tag in tags:
        if "---" not in tag:
            raise SslAudioError(f"{where}: the tag {tag!r} is not of the form category---tag")
    return cells[1], cells[2], name, tuple(sorted(set(tags)))


def _jamendo_path(root: str, name: str) -> str:
    path = os.path.join(root, name)
    stem, suffix = os.path.splitext(path)
    low = f"{stem}.low{suffix}"
    return low if not os.path.exists(path) and os.path.exists(low) else path


def numbered_lines(path: AnyPath) -> Iterator[tuple[int, str]]:
    """The lines of a text file and their numbers, from 1; bytes that are not UTF-8 are kept."""
    with (
        named(f"cannot read {os.fspath(path)}"),
        # utf-8-sig: some editors begin a file with a byte-order mark
        open(path, encoding="utf-8-sig", errors="surrogateescape") as file,
    ):
        for number, line in enumerate(file, 1):
            yield number, line.rstrip("\r\n")


def beside(table: AnyPath, name: str) -> str:
    """The path of a file that a table names, without ".." in it: each file has one path."""
    path = os.path.join(os.path.dirname(os.path.abspath(table)), name)
    plain = os.path.normpath(path)
    try:  # "a/../b" is not "b" where a is a link to a folder
        same = plain == path or not os.path.exists(path) or os.path.samefile(plain, path)
    except OSError:
        same = False
    return plain if same else os.path.realpath(path)


def _listed(path: AnyPath, sources: list[Source]) -> list[Source]:
    if not sources:
        raise SslAudioError(f"{os.fspath(path)} lists no audio")
    return sources


def _csv_rows(path: AnyPath) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader((f"{line}\n" for _, line in numbered_lines(path)), strict=True)
    number, line = 0, 1
    try:
        if "path" not in (reader.fieldnames or ()):
            raise SslAudioError(f"{os.fspath(path)} has no column named path")
        line = reader.line_num + 1
        for number, row in enumerate(reader, 1):
            yield number, row
            line = reader.line_num + 1
    except csv.Error as error:
        where = f"{os.fspath(path)}, line {line}"
        detail = "a cell in quotes must end with one, and quotes in it be doubled"
        raise SslAudioError(f"{where}: {error} ({detail})") from error


def _parquet_rows(path: AnyPath) -> Iterator[tuple[int, Mapping[str, Any]]]:
    table = read_parquet(path)
    if "path" not in table.column_names:
        raise SslAudioError(f"{os.fspath(path)} has no column named path")
    names = [name for name in ("path", "tags", "group") if name in table.column_names]
    yield from enumerate(table.select(names).to_pylist(), 1)


def read_parquet(path: AnyPath) -> Any:
    """A Parquet file as a table of pyarrow.

    Raises:
        SslAudioError: it cannot be read.
    """
    import pyarrow
    import pyarrow.parquet

    with named(f"cannot read {os.fspath(path)} as Parquet", pyarrow.ArrowException):
        return pyarrow.parquet.read_table(os.fspath(path))


def _tags(cell: Any) -> tuple[str, ...]:
    if isinstance(cell, str):
        tags: Iterable[Any] = cell.split(";")
    else:  # a list in Parquet, or a single number
        tags = cell if isinstance(cell, Iterable) else (() if cell is None else (cell,))
    return tuple(sorted({str(tag).strip() for tag in tags} - {""}))
