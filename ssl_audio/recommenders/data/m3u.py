"""M3U playlists, as players of several systems write them.

An entry is a path, absolute or relative to the M3U's folder. The id of its track is that path
relative to the music folder, with `/` between folders. A path outside the music folder, or a URL,
is its own id. Where ids are known, such as those with features, an entry is matched to them
(`track_ids`) in each of its readings: as it is, with `/` for backslashes, and with %20 decoded.
"""

import codecs
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

from ssl_audio.io.atomic import write_bytes
from ssl_audio.io.errors import SslAudioError, named
from ssl_audio.io.files import printable
from ssl_audio.recommenders.data.records import Record, SourcePlaylist, SourceTrack
from ssl_audio.recommenders.data.track_ids import TrackIds

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|spotify:")
_FILE = re.compile(r"file:(//(localhost(?=/))?)?", re.IGNORECASE)
_DRIVE = re.compile(r"/?([A-Za-z]:/)")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_m3us(
    paths: Sequence[Path], folder: Path, root: str | Path | None, known: TrackIds
) -> Iterator[Record]:
    """M3U files; the id of a playlist is its path relative to `folder`.

    Args:
        paths: the files.
        folder: that they are in.
        root: the music folder; None: `folder`.
        known: ids that entries are matched to.
    """
    described: set[str] = set()
    for path in paths:
        tracks = read_m3u(path, folder if root is None else root, known)
        for track in tracks:
            if track.title and track.id not in described:
                described.add(track.id)
                yield track
        yield SourcePlaylist(
            printable(path.relative_to(folder).as_posix()), [track.id for track in tracks]
        )


def read_m3u(
    path: str | Path, root: str | Path | None = None, known: TrackIds | None = None
) -> list[SourceTrack]:
    """The entries of one M3U, with artist and title where `#EXTINF` lines have them.

    Args:
        path: each line UTF-8 or else Windows-1252, whatever its suffix; or UTF-16 with a mark.
        root: the music folder; None: the M3U's own.
        known: ids that entries are matched to.

    Raises:
        SslAudioError: the file cannot be read, or is not text.
    """
    path = Path(path)
    ids = _EntryIds(path.parent, path.parent if root is None else Path(root), known or TrackIds(()))
    tracks, title, artist = [], "", ""
    for line in _read_lines(path):
        line = line.strip()
        if line.startswith("#EXTINF:"):
            title, artist = _parse_extinf(line)
        elif line and not line.startswith("#"):
            tracks.append(SourceTrack(ids.of(line), title, artist))
            title = artist = ""
    return tracks


def _read_lines(path: Path) -> list[str]:
    with named(f"cannot read {path}"):
        content = path.read_bytes()
    try:
        if content.startswith(_UTF16):
            content = content.decode("utf-16").encode()
    except UnicodeDecodeError as error:
        raise SslAudioError(f"{path}: broken UTF-16; save it as UTF-8") from error
    if b"\0" in content:
        raise SslAudioError(f"{path}: no playlist in UTF-8 or Windows-1252; save it as UTF-8")
    lines = re.split(rb"\r\n|\r|\n", content.removeprefix(codecs.BOM_UTF8))
    return [_decode(line) for line in lines]


def _decode(line: bytes) -> str:
    """UTF-8, else Windows-1252, whose five undefined bytes are those of Latin-1."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in line)


def _parse_extinf(line: str) -> tuple[str, str]:
    """Title and artist of `#EXTINF:seconds,artist - title`."""
    text = line.partition(",")[2].strip()
    artist, dash, title = text.partition(" - ")
    return (title.strip(), artist.strip()) if dash else (text, "")


class _EntryIds:
    """Ids of an M3U's entries; the music folder may be reached by symbolic links."""

    def __init__(self, folder: Path, root: Path, known: TrackIds) -> None:
        self.known = known
        self.pairs = [
            (resolve(folder), os.path.join(resolve(root), ""))
            for resolve in (os.path.abspath, os.path.realpath)
        ]

    def of(self, entry: str) -> str:
        """The id of a path or URL."""
        prefix = _FILE.match(entry)
        if prefix is None and _URL.match(entry):
            return entry
        path = entry[prefix.end() :] if prefix else entry
        decoded = _decode(unquote_to_bytes(path))
        readings = [decoded] if prefix else [path, decoded]
        slashed = [reading.replace("\\", "/") for reading in readings]
        if "/" not in path and "\\" in path:  # written on Windows
            readings = slashed
        found = [self._relative(reading) for reading in dict.fromkeys([*readings, *slashed])]
        absolute = os.path.isabs(found[0]) or _DRIVE.match(found[0]) is not None
        # a player may also write paths relative to the music folder, whatever the M3U's folder
        below_root = [reading for reading in slashed if "/" in reading]
        matched = self.known.find([*found, *below_root], absolute)
        return found[0] if matched is None else matched

    def _relative(self, path: str) -> str:
        """The path relative to the music folder; absolute if it is outside."""
        if drive := _DRIVE.match(path.replace("\\", "/")):
            return path.replace("\\", "/")[drive.start(1) :]
        paths = [os.path.normpath(os.path.join(folder, path)) for folder, _ in self.pairs]
        for full, (_, base) in zip(paths, self.pairs, strict=True):
            if full.startswith(base):
                return Path(full[len(base) :]).as_posix()
        return Path(paths[0]).as_posix()


def write_m3u(path: str | Path, entries: Iterable[tuple[str, str]]) -> None:
    """Write an M3U in UTF-8, atomically.

    Args:
        path: in an existing folder.
        entries: path or id of each track, and the title that players show ("": none).

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
    if not Path(path).parent.is_dir():
        raise SslAudioError(f"cannot write {path}: no such folder as {Path(path).parent}")
    with named(f"cannot write {path}"):
        write_bytes(Path(path), content)
