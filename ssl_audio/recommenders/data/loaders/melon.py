"""Melon Playlist Dataset: 148,826 playlists of a Korean streaming service.

FOLDER/train.json or train.parquet: id and songs of each playlist; song_meta.json or .parquet: id,
name, album, artists and genre codes of each song. val and test lack half of their songs: not read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ssl_audio.io.errors import named
from ssl_audio.recommenders.data.json_files import identifier, items, load_json, located, text
from ssl_audio.recommenders.data.loaders.published import Published, existing
from ssl_audio.recommenders.data.records import Record, SourcePlaylist, SourceTrack


def _rows(folder: Path, name: str) -> Iterator[tuple[str, Any]]:
    """The place of each row of a file, and the row."""
    path = existing(folder, f"{name}.json", f"{name}.parquet")
    if path.suffix == ".json":
        with located(str(path)):
            rows = items(load_json(path), "the file")
    else:
        with named(f"cannot read {path}", pa.ArrowException):
            rows = pq.read_table(path).to_pylist()
    for place, row in enumerate(rows, 1):
        yield f"{path}, row {place}", row


def _read(folder: Path) -> Iterator[Record]:
    for where, song in _rows(folder, "song_meta"):
        with located(where):
            artists, genres = (
                "|".join(text(name, key) for name in items(song[key], key))
                for key in ("artist_name_basket", "song_gn_gnr_basket")
            )
            title, album = (text(song.get(key), key) for key in ("song_name", "album_name"))
            track = SourceTrack(identifier(song["id"], "id"), title, artists, album, genres)
        yield track
    for where, playlist in _rows(folder, "train"):
        with located(where):
            songs = [identifier(song, "song") for song in items(playlist["songs"], "songs")]
            found = SourcePlaylist(identifier(playlist["id"], "id"), songs)
        yield found


DATASET = Published(
    citation=(
        "A. Ferraro, Y. Kim, S. Lee, B. Kim, N. Jo, S. Lim, S. Lim, J. Jang, S. Kim, X. Serra, D. "
        "Bogdanov. Melon playlist dataset: a public dataset for audio-based playlist generation "
        "and music tagging. ICASSP 2021."
    ),
    licence="academic use, after registration with Kakao",
    read=_read,
)
