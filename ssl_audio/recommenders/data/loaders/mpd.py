"""The Million Playlist Dataset of Spotify: its slices, and the challenge set.

FOLDER/mpd.slice.*.json, or in FOLDER/data; FOLDER/challenge_set.json holds the first tracks of
10,000 playlists, of which 1,000 have a title alone and are left out. The data set is no longer for
download: Spotify Research gives access to it.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.json_files import (
    identifier,
    items,
    load_json,
    located,
    number,
    text,
)
from ssl_audio.recommenders.data.loaders.published import Published, existing
from ssl_audio.recommenders.data.records import Record, SourcePlaylist, SourceTrack

SLICE = re.compile(r"mpd\.slice\.(\d+)-\d+\.json")
KEYS = {"title": "track_name", "artist": "artist_name", "album": "album_name"}


def find_slices(folder: Path) -> list[Path]:
    """The slices in a folder, by their numbers."""
    found = [(int(match[1]), p) for p in folder.iterdir() if (match := SLICE.fullmatch(p.name))]
    return [path for _, path in sorted(found)]


def read_slices(paths: Sequence[Path]) -> Iterator[Record]:
    """Slices, one in memory at a time."""
    ids: dict[str, str] = {}  # one string object for all mentions of a track
    for path in paths:
        content = load_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("playlists"), list):
            raise SslAudioError(f"{path}: no list named playlists, as slices of the dataset have")
        for place, playlist in enumerate(content["playlists"], 1):
            yield from _read_playlist(f"{path}, playlist {place}", playlist, ids)


def _read_playlist(where: str, playlist: Any, ids: dict[str, str]) -> Iterator[Record]:
    """Metadata of the tracks that are not in `ids`, then the playlist, in the order of `pos`."""
    with located(where):
        identity = identifier(playlist["pid"], "pid")
    where = f"{where} (pid {identity})"
    with located(where):
        tracks = items(playlist["tracks"], "tracks")
    members, place = [], 0
    with located(lambda: f"{where}, track {place}"):
        for place, track in enumerate(tracks, 1):  # noqa: B007  (used where there is an error)
            position, uri = number(track["pos"], "pos"), identifier(track["track_uri"], "track_uri")
            if uri not in ids:
                details = {name: text(track.get(key), key) for name, key in KEYS.items()}
                yield SourceTrack(uri, **details)
            members.append((position, ids.setdefault(uri, uri)))
    members.sort(key=lambda member: member[0])
    yield SourcePlaylist(identity, [track for _, track in members])


def _read_folder(folder: Path) -> Iterator[Record]:
    for place in (folder, folder / "data"):
        if place.is_dir() and (slices := find_slices(place)):
            return read_slices(slices)
    raise SslAudioError(f"{folder}: no mpd.slice.*.json in it")


SLICES = Published(
    citation=(
        "C.-W. Chen, P. Lamere, M. Schedl, H. Zamani. RecSys Challenge 2018: automatic music "
        "playlist continuation. RecSys 2018."
    ),
    licence="research only, terms of the RecSys Challenge 2018",
    read=_read_folder,
)
CHALLENGE = Published(
    citation=SLICES.citation,
    licence=SLICES.licence,
    read=lambda folder: read_slices([existing(folder, "challenge_set.json")]),
)
