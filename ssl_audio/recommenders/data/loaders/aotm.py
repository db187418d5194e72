"""AotM-2011: 101,343 playlists of the Art of the Mix.

FOLDER/aotm2011_playlists.json (.gz): each track is its artist and title, and the id of its song in
the Million Song Dataset or null. A track is its artist and title, since most have no id.
"""

from collections.abc import Iterator
from pathlib import Path

from ssl_audio.recommenders.data.json_files import identifier, items, load_json, located, text
from ssl_audio.recommenders.data.loaders.published import Published, existing
from ssl_audio.recommenders.data.records import Record, SourcePlaylist, SourceTrack


def _read(folder: Path) -> Iterator[Record]:
    path = existing(folder, "aotm2011_playlists.json", "aotm2011_playlists.json.gz")
    with located(str(path)):
        mixes = items(load_json(path), "the file")
    for place, mix in enumerate(mixes, 1):
        with located(f"{path}, playlist {place}"):
            identity = identifier(mix["mix_id"], "mix_id")
            tracks = []
            for (artist, title), _ in items(mix["playlist"], "playlist"):
                artist, title = text(artist, "artist"), text(title, "title")
                tracks.append(SourceTrack(f"{artist} - {title}", title, artist))
        yield from tracks
        yield SourcePlaylist(identity, [track.id for track in tracks])


DATASET = Published(
    citation="B. McFee, G. Lanckriet. Hypergraph models of playlist dialects. ISMIR 2012.",
    licence="none stated",
    read=_read,
)
