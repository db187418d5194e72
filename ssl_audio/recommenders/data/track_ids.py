"""Ids of known tracks, found by paths that other programs and machines write."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from ssl_audio.recommenders.data.duckdb_file import connect

MAX_LISTED = 50  # unknown tracks that are named
MIN_FOLDERS = 1  # that a path and an id must share beside the file name, where neither is absolute
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}$")


class TrackIds:
    """Known ids, which are paths relative to the embedded folder.

    Ids are compared exactly, else by Unicode's composed form (NFC) without case, else by their last
    folders: a player's music folder may be above or below the embedded one, or on another machine.
    What fits several ids fits none.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = dict.fromkeys(ids)
        self._by_key: dict[str, str | None] = {}  # None: of several ids
        self._by_name: dict[str, list[str]] = {}  # keys of each file name

    def find(self, paths: Sequence[str], absolute: bool) -> str | None:
        """The id of a track.

        Args:
            paths: readings of one entry, the most literal one first, with `/` between folders.
            absolute: it leads outside the music folder, so that its first folders mean nothing.
        """
        for path in paths:
            if path in self.ids:
                return path
        if self.ids and not self._by_key:
            self._index()
        for path in map(_key, paths):
            if found := self._by_key.get(path):
                return found
        for path in map(_key, paths):
            if found := self._by_last_folders(path, absolute):
                return found
        return None

    def _index(self) -> None:
        for track in self.ids:
            key = _key(track)
            self._by_key[key] = None if key in self._by_key else track
            self._by_name.setdefault(key.rpartition("/")[2], []).append(key)

    def _by_last_folders(self, key: str, absolute: bool) -> str | None:
        """The longest id that the path ends with, else the only one that ends with the path."""
        parts = [part for part in key.split("/") if part not in ("", "..")]
        fewest = 1 if absolute else 1 + MIN_FOLDERS
        for first in range(1, len(parts) - fewest + 1):
            if found := self._by_key.get("/".join(parts[first:])):
                return found
        if parts and parts[0].endswith(":"):  # a drive
            parts = parts[1:]
        if len(parts) <= MIN_FOLDERS:
            return None
        end = "/" + "/".join(parts)
        fits = [name for name in self._by_name.get(parts[-1], ()) if name.endswith(end)]
        return self._by_key[fits[0]] if len(fits) == 1 else None


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def unknown_lines(unknown: Mapping[str, int], known: Iterable[str]) -> list[str]:
    """One line for each unknown track: its id, its number of positions and the nearest known id.

    The most frequent ones are listed, and the others counted. The nearest id is that of the highest
    Jaro-Winkler similarity of the last folder and the file name. `unknown` has positions by id.
    """
    listed = sorted(unknown, key=lambda track: -unknown[track])[:MAX_LISTED]
    nearest = _nearest(listed, list(known))
    lines = [
        f"unknown: {track!r} ({unknown[track]} positions)"
        + (f"; nearest: {nearest[track]!r}" if track in nearest else "")
        for track in listed
    ]
    if more := len(unknown) - len(listed):
        lines.append(f"unknown: {more} more tracks")
    return lines


def _nearest(tracks: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    import pyarrow as pa

    if not tracks or not known:
        return {}
    with connect() as connection:
        connection.register("a", pa.table({"id": tracks, "end": [_end(t) for t in tracks]}))
        connection.register("b", pa.table({"id": known, "end": [_end(t) for t in known]}))
        rows = connection.execute(
            'select a.id, arg_max(b.id, jaro_winkler_similarity(a."end", b."end")) '
            "from a, b group by a.id"
        ).fetchall()
    return dict(rows)


def _end(path: str) -> str:
    """The last folder and the file name without its suffix."""
    return _SUFFIX.sub("", "/".join(_key(path).split("/")[-2:]))
