"""M3U playlists.

An entry is a path, absolute or relative to the M3U's folder. The id of its track is that path
relative to the music folder, with `/` between folders. A path outside the music folder, or a URL,
is its own id.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ssl_audio.io.atomic import write_bytes
from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.records import Record, SourcePlaylist, SourceTrack

_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|spotify:|[A-Za-z]:[\\/]")


def read_m3us(paths: Sequence[Path], folder: Path, root: str | Path | None) -> Iterator[Record]:
    """M3U files; the id of a playlist is its path relative to `folder`.

    Args:
        paths: the files.
        folder: that they are in.
        root: the music folder; None: `folder`.
    """
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
    """The entries of one M3U, with artist and title where `#EXTINF` lines have them.

    Args:
        path: UTF-8, or Latin-1 if it is not valid UTF-8, whatever its suffix.
        root: the music folder; None: the M3U's own.

    Raises:
        SslAudioError: the file cannot be read, or is not text.
    """
    path = Path(path)
    ids = _EntryIds(path.parent, path.parent if root is None else Path(root))
    tracks, title, artist = [], "", ""
    for line in re.split(r"\r\n|\r|\n", _read_text(path)):
        line = line.strip()
        if line.startswith("#EXTINF:"):
            title, artist = _parse_extinf(line)
        elif line and not line.startswith("#"):
            tracks.append(SourceTrack(ids.of(line), title, artist))
            title = artist = ""
    return tracks


def _read_text(path: Path) -> str:
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


def _parse_extinf(line: str) -> tuple[str, str]:
    """Title and artist of `#EXTINF:seconds,artist - title`."""
    text = line.partition(",")[2].strip()
    artist, dash, title = text.partition(" - ")
    return (title.strip(), artist.strip()) if dash else (text, "")


class _EntryIds:
    """Ids of an M3U's entries; the music folder may be reached by symbolic links."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.pairs = [
            (resolve(folder), os.path.join(resolve(root), ""))
            for resolve in (os.path.abspath, os.path.realpath)
        ]

    def of(self, entry: str) -> str:
        """The id of a path or URL."""
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
    try:
        write_bytes(Path(path), content)
    except OSError as error:
        raise SslAudioError(f"cannot write {path}: {error.strerror}") from error
