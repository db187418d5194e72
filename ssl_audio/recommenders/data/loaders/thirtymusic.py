"""30Music: listening sessions and playlists of Last.fm users, in Idomaar's format.

FOLDER/relations/sessions.idomaar, FOLDER/entities/playlist.idomaar, and the names of tracks in
FOLDER/entities/tracks.idomaar. A line is: type, number, time, properties and links, the last two
JSON. Titles in the properties are not always valid JSON; only the links are parsed.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote_plus

from ssl_audio.io.errors import SslAudioError, named
from ssl_audio.recommenders.data.json_files import identifier, located
from ssl_audio.recommenders.data.loaders.published import Published, existing
from ssl_audio.recommenders.data.records import Record, SourcePlaylist, SourceTrack

NAME = re.compile(r'"name":\s*"([^"]*)/_/([^"]*)"')  # artist and title, as in Last.fm's addresses


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The place of each line, and its fields."""
    with named(f"cannot read {path}"), path.open(encoding="utf-8", errors="replace") as file:
        for place, line in enumerate(file, 1):
            fields = line.rstrip("\n").split("\t")
            if len(fields) < 4:
                raise SslAudioError(f"{path}, line {place}: {len(fields)} fields, not 5")
            yield f"{path}, line {place}", fields


def _tracks(path: Path) -> Iterator[SourceTrack]:
    for _, fields in _lines(path):
        if name := NAME.search(fields[3]):
            artist, title = (unquote_plus(part) for part in name.groups())
            yield SourceTrack(fields[1], title, artist)


def _playlists(path: Path) -> Iterator[SourcePlaylist]:
    for where, fields in _lines(path):
        rest = "\t".join(fields[3:])
        with located(where):
            links = json.loads(rest[max(rest.rfind('{"subjects"'), 0) :])
            members = [member for member in links["objects"] if member]  # [[]] of an empty playlist
            tracks = [identifier(member["id"], "id of a track") for member in members]
        yield SourcePlaylist(fields[1], tracks)


def _reader(*names: str) -> Callable[[Path], Iterator[Record]]:
    def read(folder: Path) -> Iterator[Record]:
        yield from _tracks(existing(folder, "entities/tracks.idomaar"))
        yield from _playlists(existing(folder, *names))

    return read


SESSIONS = Published(
    citation=(
        "R. Turrin, M. Quadrana, A. Condorelli, R. Pagano, P. Cremonesi. 30Music listening and "
        "playlists dataset. RecSys posters 2015."
    ),
    licence="none stated; collected by the API of Last.fm",
    read=_reader("relations/sessions.idomaar"),
)
PLAYLISTS = Published(SESSIONS.citation, SESSIONS.licence, _reader("entities/playlist.idomaar"))
