"""Last.fm-1K: 19 million plays of 992 users, 2005 to 2009, cut into listening sessions.

FOLDER/userid-timestamp-artid-artname-traid-traname.tsv, tab-separated without quotes: user, time,
MusicBrainz id and name of the artist, and of the track. A track is its artist and title, since many
plays have no MusicBrainz id.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.recommenders.data.grouping import grouped
from ssl_audio.recommenders.data.loaders.published import SESSION_GAP, Published, existing
from ssl_audio.recommenders.data.records import Record

COLUMNS = ("playlist", "position", "artist_id", "artist", "track_id", "title")


def _read(folder: Path) -> Iterator[Record]:
    path = existing(folder, "userid-timestamp-artid-artname-traid-traname.tsv")
    used = [name for name in COLUMNS if not name.endswith("_id")]
    types = {name: pa.timestamp("s", "UTC") if name == "position" else pa.string() for name in used}
    try:
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(column_names=COLUMNS, use_threads=False),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(column_types=types, include_columns=used),
        )
    except pa.ArrowInvalid as error:
        raise SslAudioError(f"{path}: {first_line(error)}") from error
    track = pc.binary_join_element_wise(table["artist"], table["title"], " - ")
    seconds = table["position"].cast("int64")
    table = table.set_column(1, "position", seconds).append_column("track", track)
    yield from grouped(table, SESSION_GAP)


DATASET = Published(
    citation="O. Celma. Music Recommendation and Discovery in the Long Tail. Springer 2010.",
    licence="non-commercial use, with permission of Last.fm",
    read=_read,
)
