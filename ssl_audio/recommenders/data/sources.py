"""Playlist sources: Million Playlist Dataset slices, CSV or Parquet tables, M3U files.

A reader is a function that takes the files of a source and yields its playlists one by one, and
the metadata of a track once. It does not filter: a track may be repeated in a playlist.

The id of a track decides whether its features are found: ids of feature stores are paths relative
to the embedded folder. Tables and slices hold ids; entries of an M3U are paths, see `m3u`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.m3u import read_m3us
from ssl_audio.recommenders.data.records import Record, SourcePlaylist, SourceTrack
from ssl_audio.recommenders.data.tables import read_table

_SLICE = re.compile(r"mpd\.slice\.(\d+)-\d+\.json")


def read_source(path: str | Path, root: str | Path | None = None) -> Iterator[Record]:
    """The playlists of a source and the metadata of their tracks.

    Args:
        path: a folder of `mpd.slice.*.json` or of `.m3u` and `.m3u8` files (with subfolders), or
            one file: `.json`, `.csv`, `.parquet`, `.m3u` or `.m3u8`.
        root: music folder that the ids of M3U entries are relative to; None: the folder of the M3U
            files (`path`, or its parent).

    Raises:
        SslAudioError: no such source, or an unreadable one: names the file and the place in it.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, root)
    if not path.is_file():
        raise SslAudioError(f"playlists={path}: no such file or folder")
    if path.suffix.lower() not in READERS:
        raise SslAudioError(f"playlists={path}: a folder, or a file {', '.join(READERS)}")
    return READERS[path.suffix.lower()](path, root)


def _read_folder(folder: Path, root: str | Path | None) -> Iterator[Record]:
    paths = sorted(_files(folder))
    slices = [(int(found[1]), p) for p in paths if (found := _SLICE.fullmatch(p.name))]
    if slices:
        return read_slices([p for _, p in sorted(slices)])
    lists = [p for p in paths if p.suffix.lower() in (".m3u", ".m3u8")]
    if lists:
        return read_m3us(lists, folder, root)
    raise SslAudioError(f"playlists={folder}: no mpd.slice.*.json, .m3u or .m3u8 in it")


def _files(folder: Path) -> Iterator[Path]:
    """Files of a folder and its subfolders, except hidden ones."""
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(here, name) for name in names if not name.startswith("."))


def read_slices(paths: Sequence[Path]) -> Iterator[Record]:
    """Slices of the Million Playlist Dataset, one in memory at a time."""
    ids: dict[str, str] = {}  # one string object for all mentions of a track
    for path in paths:
        for place, playlist in enumerate(_load_slice(path)):
            identity, tracks = _parse_playlist(path, place, playlist)
            members = []
            for track in tracks:
                uri = track["track_uri"]
                if uri not in ids:
                    keys = ("track_uri", "track_name", "artist_name", "album_name")
                    described = SourceTrack(*(_valid_text(track.get(key) or "") for key in keys))
                    ids[uri] = described.id
                    yield described
                members.append(ids[uri])
            yield SourcePlaylist(identity, members)


def _load_slice(path: Path) -> list[Any]:
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


def _parse_playlist(path: Path, place: int, playlist: Any) -> tuple[str, list[dict[str, Any]]]:
    """A playlist's id and its tracks in the order of `pos`."""
    try:
        identity = _valid_text(playlist["pid"])
        tracks = sorted(playlist["tracks"], key=lambda track: track["pos"])
        if not all(isinstance(track["track_uri"], str) for track in tracks):
            raise TypeError("a track_uri that is not text")
    except (KeyError, TypeError) as error:
        known = isinstance(playlist, dict) and "pid" in playlist
        which = f"playlist {place + 1}" + (f" (pid {playlist['pid']})" if known else "")
        wrong = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)
        raise SslAudioError(f"{path}, {which}: {wrong}") from error
    return identity, tracks


def _valid_text(value: object) -> str:
    """Text without lone surrogates, which JSON can hold and UTF-8 cannot."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


# readers of single files by suffix: of the file, and of the music folder of M3U entries
READERS: dict[str, Callable[[Path, str | Path | None], Iterator[Record]]] = {
    ".json": lambda path, root: read_slices([path]),
    ".csv": lambda path, root: read_table(path),
    ".parquet": lambda path, root: read_table(path),
    ".m3u": lambda path, root: read_m3us([path], path.parent, root),
    ".m3u8": lambda path, root: read_m3us([path], path.parent, root),
}
