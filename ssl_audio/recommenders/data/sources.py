"""Playlists as people keep them: Million Playlist Dataset slices, CSV or Parquet tables, M3Us.

Every reader gives playlists one by one, and says what it knows of a track once, before the first
playlist that has it. Nothing is left out here: a track may come twice in a playlist.

What a track is called decides whether its sound is found: the ids of a feature store are paths
below the folder that was embedded. A table says ids itself. An entry of an M3U is a path, absolute
or from the M3U's own folder; its id is that path below `root`, the music folder, with `/` between
folders. A path that is not below it, or a URL, is its own id.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import numpy as np

from ssl_audio.io.atomic import atomic_file, write_bytes
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Catalogue, Playlists

if TYPE_CHECKING:
    import pyarrow as pa

DETAILS = ("title", "artist", "album", "genre")
BATCH = 131_072  # rows of a Parquet file at a time
_SLICE = re.compile(r"mpd\.slice\.(\d+)-\d+\.json")
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|spotify:|[A-Za-z]:[\\/]")


@dataclass(frozen=True)
class SourcePlaylist:
    """One playlist.

    Attributes:
        id: unique in its source.
        tracks: ids in order; one may come twice.
    """

    id: str
    tracks: list[str]


@dataclass(frozen=True)
class SourceTrack:
    """What a source knows of a track; "" where it says nothing."""

    id: str
    title: str = ""
    artist: str = ""
    album: str = ""
    genre: str = ""


Found = SourcePlaylist | SourceTrack


class Numbering(dict[str, int]):
    """Names numbered 0, 1, ... as each is first asked for."""

    def __missing__(self, name: str) -> int:
        self[name] = number = len(self)
        return number


def read_source(path: str | Path, root: str | Path | None = None) -> Iterator[Found]:
    """The playlists of a source, and what it knows of their tracks, as they are read.

    Args:
        path: a folder of `mpd.slice.*.json` or of `.m3u` and `.m3u8` (in its subfolders too), or
            one file: `.json`, `.csv`, `.parquet`, `.m3u` or `.m3u8`.
        root: the music folder below which the ids of an M3U's entries are; None: where the M3Us
            are (`path`, or its folder).

    Raises:
        SslAudioError: no such source, or one that cannot be read: which file, and where in it.
    """
    path = Path(path)
    if path.is_dir():
        return _folder(path, root)
    if not path.is_file():
        raise SslAudioError(f"playlists={path}: no such file or folder")
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _slices([path])
    if suffix == ".csv":
        return _csv(path)
    if suffix == ".parquet":
        return _parquet(path)
    if suffix in (".m3u", ".m3u8"):
        return _m3us([path], path.parent, root)
    raise SslAudioError(f"playlists={path}: a .json, .csv, .parquet, .m3u or .m3u8, or a folder")


def _folder(folder: Path, root: str | Path | None) -> Iterator[Found]:
    paths = sorted(_below(folder))
    slices = [(int(found[1]), p) for p in paths if (found := _SLICE.fullmatch(p.name))]
    if slices:
        return _slices([p for _, p in sorted(slices)])
    lists = [p for p in paths if p.suffix.lower() in (".m3u", ".m3u8")]
    if lists:
        return _m3us(lists, folder, root)
    raise SslAudioError(f"playlists={folder}: no mpd.slice.*.json, .m3u or .m3u8 in it")


def _below(folder: Path) -> Iterator[Path]:
    """Files of a folder and its subfolders, hidden ones left out."""
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(here, name) for name in names if not name.startswith("."))


# --- Million Playlist Dataset


def _slices(paths: Sequence[Path]) -> Iterator[Found]:
    """Slices of the Million Playlist Dataset, one in memory at a time."""
    names: dict[str, str] = {}  # one string object for all mentions of a track
    for path in paths:
        for place, playlist in enumerate(_json_playlists(path)):
            identity, tracks = _ordered(path, place, playlist)
            ids = []
            for track in tracks:
                uri = track["track_uri"]
                if uri not in names:
                    described = _described(track)
                    names[uri] = described.id
                    yield described
                ids.append(names[uri])
            yield SourcePlaylist(identity, ids)


def _json_playlists(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise SslAudioError(f"{path}, {where}: broken JSON ({error.msg})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SslAudioError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("playlists"), list):
        raise SslAudioError(f"{path}: no list named playlists, as slices of the dataset have")
    return content["playlists"]


def _ordered(path: Path, place: int, playlist: Any) -> tuple[str, list[dict[str, Any]]]:
    """A playlist's id and its tracks by `pos`."""
    try:
        identity = _text(playlist["pid"])
        tracks = sorted(playlist["tracks"], key=lambda track: track["pos"])
        if not all(isinstance(track["track_uri"], str) for track in tracks):
            raise TypeError("a track_uri that is no text")
    except (KeyError, TypeError) as error:
        known = isinstance(playlist, dict) and "pid" in playlist
        which = f"playlist {place + 1}" + (f" (pid {playlist['pid']})" if known else "")
        wrong = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)
        raise SslAudioError(f"{path}, {which}: {wrong}") from error
    return identity, tracks


def _described(track: dict[str, Any]) -> SourceTrack:
    keys = ("track_uri", "track_name", "artist_name", "album_name")
    return SourceTrack(*(_text(track.get(key) or "") for key in keys))


def _text(value: object) -> str:
    """Text that any file can hold: JSON can spell halves of characters."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


# --- tables


class _Lines:
    """A table's lines as numbers, 8 or 16 bytes each, until the last is read.

    A playlist's lines need not stand together, so none is known to be whole before that.

    Args:
        ordered: there are positions to sort by.
    """

    def __init__(self, ordered: bool) -> None:
        self.playlists, self.tracks = Numbering(), Numbering()
        self.playlist, self.track = array("i"), array("i")
        self.position = array("d") if ordered else None

    def grouped(self) -> Iterator[SourcePlaylist]:
        """Playlists in the order of their first lines; equal positions in the order of lines."""
        playlist = np.frombuffer(self.playlist, np.int32)
        if self.position is None:
            order = np.argsort(playlist, kind="stable")
        else:
            order = np.lexsort((np.frombuffer(self.position, np.float64), playlist))
        tracks = np.frombuffer(self.track, np.int32)[order]
        names = np.array(list(self.tracks), dtype=object)
        ends = np.cumsum(np.bincount(playlist, minlength=len(self.playlists))).tolist()
        for identity, start, end in zip(self.playlists, [0, *ends], ends, strict=False):
            yield SourcePlaylist(identity, names[tracks[start:end]].tolist())


def _csv(path: Path) -> Iterator[Found]:
    """A CSV with a header: playlist and track, and perhaps position and the tracks' details."""
    reader = csv.reader(_decoded(path), strict=True)
    last = 0  # line where the last record ended
    try:
        header = next(reader, [])
        _check_columns(path, header)
        at = {name: column for column, name in enumerate(header)}
        lines = _Lines("position" in at)
        details = [name for name in DETAILS if name in at]
        last = reader.line_num
        for row in reader:
            line, last = last + 1, reader.line_num  # a quoted field may go over several
            if not row:
                continue
            if len(row) != len(header):
                wrong = f"{len(row)} fields; the header has {len(header)}"
                raise SslAudioError(f"{path}, line {line}: {wrong}")
            if _take_line(path, line, row, at, lines) and details:
                yield SourceTrack(row[at["track"]], **{name: row[at[name]] for name in details})
    except csv.Error as error:
        raise SslAudioError(f"{path}, line {last + 1}: {error}") from error
    yield from lines.grouped()


def _take_line(path: Path, line: int, row: list[str], at: dict[str, int], lines: _Lines) -> bool:
    """Take one line of a CSV in; whether its track is a new one."""
    playlist, track = row[at["playlist"]], row[at["track"]]
    if not playlist or not track:
        raise SslAudioError(f"{path}, line {line}: no playlist or no track")
    if lines.position is not None:
        position = _position(row[at["position"]])
        if not math.isfinite(position):
            wrong = f"position {row[at['position']]!r} is no number"
            raise SslAudioError(f"{path}, line {line}: {wrong}")
        lines.position.append(position)
    before = len(lines.tracks)
    lines.playlist.append(lines.playlists[playlist])
    lines.track.append(lines.tracks[track])
    return len(lines.tracks) > before


def _position(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _decoded(path: Path) -> Iterator[str]:
    """Lines of a UTF-8 file, so that a byte that is not is found at its line."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise SslAudioError(f"{path}, line {number}: not UTF-8") from error
    except OSError as error:
        raise SslAudioError(f"cannot read {path}: {error}") from error


def _parquet(path: Path) -> Iterator[Found]:
    """A Parquet file with the columns of the CSV; ids that are numbers become text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_columns(path, names)
            lines, row = _Lines("position" in names), 0
            details = [name for name in DETAILS if name in names]
            wanted = [n for n in ("playlist", "track", "position", *details) if n in names]
            for batch in file.iter_batches(BATCH, columns=wanted):
                yield from _parquet_batch(path, row, batch, details, lines)
                row += len(batch)
    except (OSError, pa.ArrowException) as error:
        raise SslAudioError(f"cannot read {path}: {error}") from error
    yield from lines.grouped()


def _parquet_batch(
    path: Path, start: int, batch: pa.RecordBatch, details: list[str], lines: _Lines
) -> Iterator[SourceTrack]:
    """Take a batch in; gives those of its tracks that are new and known."""
    playlists, _ = _numbered(path, start, batch, "playlist", lines.playlists)
    before = len(lines.tracks)
    tracks, first = _numbered(path, start, batch, "track", lines.tracks)
    lines.playlist.frombytes(playlists.tobytes())
    lines.track.frombytes(tracks.tobytes())
    if lines.position is not None:
        column = batch.column("position").cast("float64")
        positions = column.fill_null(math.nan).to_numpy(zero_copy_only=False)
        _refuse(path, start, ~np.isfinite(positions), "position is no number")
        lines.position.frombytes(positions.tobytes())
    new = first[tracks[first] >= before]
    if details and len(new):
        rows = batch.take(new)
        columns = {n: rows.column(n).cast("string").fill_null("").to_pylist() for n in details}
        for k, track in enumerate(rows.column("track").cast("string").to_pylist()):
            yield SourceTrack(track, **{name: columns[name][k] for name in details})


def _numbered(
    path: Path, start: int, batch: pa.RecordBatch, name: str, numbering: Numbering
) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) int32 numbers of a column's names, and (names,) the first row that has each."""
    encoded = batch.column(name).cast("string").dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    values = encoded.dictionary.to_pylist()
    empty = values.index("") if "" in values else -1
    _refuse(path, start, (codes < 0) | (codes == empty), f"no {name}")
    numbers = np.array([numbering[value] for value in values], dtype=np.int32)
    return numbers[codes], np.unique(codes, return_index=True)[1]


def _refuse(path: Path, start: int, bad: np.ndarray, why: str) -> None:
    if bad.any():
        raise SslAudioError(f"{path}, row {start + int(bad.argmax()) + 1}: {why}")


def _check_columns(path: Path, names: Iterable[str]) -> None:
    missing = [name for name in ("playlist", "track") if name not in set(names)]
    if missing:
        raise SslAudioError(f"{path}: no column {missing[0]}; playlist and track are wanted")


# --- M3U


def _m3us(paths: Sequence[Path], folder: Path, root: str | Path | None) -> Iterator[Found]:
    """M3Us, each a playlist whose id is its path below the folder."""
    described: set[str] = set()
    for path in paths:
        tracks = read_m3u(path, folder if root is None else root)
        for track in tracks:
            if track.title and track.id not in described:
                described.add(track.id)
                yield track
        name = os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "backslashreplace")
        yield SourcePlaylist(name, [track.id for track in tracks])


def read_m3u(path: str | Path, root: str | Path | None = None) -> list[SourceTrack]:
    """The entries of one M3U, with artist and title where its `#EXTINF` lines say them.

    Args:
        path: UTF-8, or Latin-1 where it is not UTF-8, whatever the suffix.
        root: the music folder; None: the M3U's own.

    Raises:
        SslAudioError: the file cannot be read, or is no text.
    """
    path = Path(path)
    places = _Places(path.parent, path.parent if root is None else Path(root))
    tracks, title, artist = [], "", ""
    for line in re.split(r"\r\n|\r|\n", _m3u_text(path)):
        line = line.strip()
        if line.startswith("#EXTINF:"):
            title, artist = _extinf(line)
        elif line and not line.startswith("#"):
            tracks.append(SourceTrack(places.id(line), title, artist))
            title = artist = ""
    return tracks


def _m3u_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SslAudioError(f"cannot read {path}: {error.strerror}") from error
    if b"\0" in content:
        raise SslAudioError(f"{path}: no playlist in UTF-8 or Latin-1; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _extinf(line: str) -> tuple[str, str]:
    """Title and artist of `#EXTINF:seconds,artist - title`."""
    said = line.partition(",")[2].strip()
    artist, dash, title = said.partition(" - ")
    return (title.strip(), artist.strip()) if dash else (said, "")


class _Places:
    """Ids of an M3U's entries: as they are written, and with links followed."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.pairs = [
            (follow(folder), os.path.join(follow(root), ""))
            for follow in (os.path.abspath, os.path.realpath)
        ]

    def id(self, entry: str) -> str:
        """Of a path from the M3U's folder, an absolute path or a URL."""
        if entry.startswith("file://"):
            entry = unquote(urlsplit(entry).path)
        if "\\" in entry and "/" not in entry:  # written on Windows
            entry = entry.replace("\\", "/")
        if _ELSEWHERE.match(entry):
            return entry
        paths = [os.path.normpath(os.path.join(folder, entry)) for folder, _ in self.pairs]
        for path, (_, base) in zip(paths, self.pairs, strict=True):
            if path.startswith(base):
                return Path(path[len(base) :]).as_posix()
        return Path(paths[0]).as_posix()


def write_m3u(path: str | Path, entries: Iterable[tuple[str, str]]) -> None:
    """Write an M3U in UTF-8, in one step.

    Args:
        path: its folder exists.
        entries: of each track a path or id, and what a player shows ("": nothing).

    Raises:
        SslAudioError: a path with a line break in it, or the file cannot be written.
    """
    lines = ["#EXTM3U"]
    for entry, title in entries:
        if not entry.strip() or re.search(r"[\r\n]", entry):
            raise SslAudioError(f"an M3U cannot hold the path {entry!r}: rename that file")
        if title:
            lines.append(f"#EXTINF:-1,{' '.join(title.split())}")
        lines.append(f"./{entry}" if entry.startswith("#") else entry)
    content = "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")
    try:
        write_bytes(Path(path), content)
    except OSError as error:
        raise SslAudioError(f"cannot write {path}: {error.strerror}") from error


def write_table(path: str | Path, playlists: Playlists, catalogue: Catalogue) -> None:
    """Write playlists as Parquet with the columns playlist, position and track, in one step.

    Args:
        path: ends with .parquet.
        playlists: their tracks are rows of the catalogue.
        catalogue: whose ids the tracks get.

    Raises:
        SslAudioError: it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    starts = np.repeat(playlists.offsets[:-1], playlists.lengths)
    columns = {
        "playlist": pa.array(playlists.ids, pa.string()).take(pa.array(playlists.owners)),
        "position": pa.array(np.arange(len(playlists.tracks)) - starts),
        "track": pa.array(catalogue.ids, pa.string()).take(pa.array(playlists.tracks)),
    }
    try:
        with atomic_file(path) as temporary:
            pq.write_table(pa.table(columns), temporary, compression="zstd")
    except OSError as error:
        raise SslAudioError(f"cannot write {path}: {error.strerror}") from error
