"""Playlist sources: published data sets by name, slices, tables and M3U files by path.

A reader is a function that takes the files of a source and yields its playlists one by one, and
the metadata of a track once. It does not filter: a track may be repeated in a playlist.

The id of a track decides whether its features are found: ids of feature stores are paths relative
to the embedded folder. Tables and slices hold ids; entries of an M3U are paths, see `m3u`.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.loaders.mpd import find_slices, read_slices
from ssl_audio.recommenders.data.loaders.published import Published
from ssl_audio.recommenders.data.m3u import read_m3us
from ssl_audio.recommenders.data.records import Record
from ssl_audio.recommenders.data.tables import read_table
from ssl_audio.recommenders.data.track_ids import TrackIds
from ssl_audio.settings.registry import Registry

_LOADERS = "ssl_audio.recommenders.data.loaders"
# NAME of `playlists=NAME:FOLDER`
PUBLISHED = Registry({
    "nyphil": f"{_LOADERS}.nyphil.DATASET",
    "gdshows": f"{_LOADERS}.gdshows.DATASET",
    "classicrock": f"{_LOADERS}.classicrock.DATASET",
    "mpd": f"{_LOADERS}.mpd.SLICES",
    "mpd-challenge": f"{_LOADERS}.mpd.CHALLENGE",
    "movielens": f"{_LOADERS}.movielens.DATASET",
    "lastfm-1k": f"{_LOADERS}.lastfm1k.DATASET",
    "30music": f"{_LOADERS}.thirtymusic.SESSIONS",
    "30music-playlists": f"{_LOADERS}.thirtymusic.PLAYLISTS",
    "aotm-2011": f"{_LOADERS}.aotm.DATASET",
    "yambda": f"{_LOADERS}.yambda.DATASET",
    "melon": f"{_LOADERS}.melon.DATASET",
})  # fmt: skip
_NAMED = re.compile(r"([a-z0-9-]{2,}):(.*)", re.DOTALL)  # one letter is a drive of Windows


def published(path: str | Path) -> tuple[str, Published, Path] | None:
    """Name, data set and folder of `NAME:FOLDER`; None for a path.

    Raises:
        SslAudioError: a data set that is not known, or no such folder.
    """
    named = _NAMED.fullmatch(str(path))
    if named is None or Path(path).exists():
        return None
    name, folder = named[1], Path(named[2])
    if name not in PUBLISHED:
        raise SslAudioError(f"playlists={path}: {name} is none of {', '.join(PUBLISHED)}")
    if not named[2] or not folder.is_dir():
        raise SslAudioError(f"playlists={path}: no such folder as {named[2] or 'NAME:FOLDER'}")
    return name, PUBLISHED[name], folder


def source_name(path: Path) -> str:
    """The name of a source in results: of a data set, or of the file or folder."""
    found = published(path)
    return found[0] if found else path.name


def read_source(
    path: str | Path, root: str | Path | None = None, known: Iterable[str] = ()
) -> Iterator[Record]:
    """The playlists of a source and the metadata of their tracks.

    Args:
        path: `NAME:FOLDER` of a published data set (`PUBLISHED`); a folder of `mpd.slice.*.json` or
            of `.m3u` and `.m3u8` files (with subfolders); or one file: `.json`, `.csv`, `.csv.gz`,
            `.parquet`, `.m3u` or `.m3u8`.
        root: music folder that the ids of M3U entries are relative to; None: the folder of the M3U
            files (`path`, or its parent).
        known: ids of tracks that M3U entries are matched to, such as those with features.

    Raises:
        SslAudioError: no such source, or an unreadable one: names the file and the place in it.
    """
    if found := published(path):
        return found[1].read(found[2])
    path = Path(path)
    ids = TrackIds(known)
    if path.is_dir():
        return _read_folder(path, root, ids)
    if not path.is_file():
        raise SslAudioError(f"playlists={path}: no such file or folder")
    suffix = next((s for s in READERS if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise SslAudioError(f"playlists={path}: a folder, or a file {', '.join(READERS)}")
    return READERS[suffix](path, root, ids)


def _read_folder(folder: Path, root: str | Path | None, ids: TrackIds) -> Iterator[Record]:
    if slices := find_slices(folder):
        return read_slices(slices)
    lists = [p for p in sorted(_files(folder)) if p.suffix.lower() in (".m3u", ".m3u8")]
    if lists:
        return read_m3us(lists, folder, root, ids)
    raise SslAudioError(f"playlists={folder}: no mpd.slice.*.json, .m3u or .m3u8 in it")


def _files(folder: Path) -> Iterator[Path]:
    """Files of a folder and its subfolders, except hidden ones."""
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(here, name) for name in names if not name.startswith("."))


# readers of single files by suffix: of the file, the music folder and the ids of M3U entries
READERS: dict[str, Callable[[Path, str | Path | None, TrackIds], Iterator[Record]]] = {
    ".json": lambda path, root, ids: read_slices([path]),
    ".csv": lambda path, root, ids: read_table(path),
    ".parquet": lambda path, root, ids: read_table(path),
    ".csv.gz": lambda path, root, ids: read_table(path),
    ".m3u": lambda path, root, ids: read_m3us([path], path.parent, root, ids),
    ".m3u8": lambda path, root, ids: read_m3us([path], path.parent, root, ids),
}
