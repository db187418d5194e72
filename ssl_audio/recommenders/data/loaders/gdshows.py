"""Setlists of the Grateful Dead, 1965 to 1995.

FOLDER/gdshows.csv.gz: the songs of each show, in order.
"""

from ssl_audio.recommenders.data.loaders.published import Published, existing
from ssl_audio.recommenders.data.tables import read_table

DATASET = Published(
    citation="Jeff Smith, gdshowsdb, github.com/jefmsmit/gdshowsdb.",
    licence="MIT",
    read=lambda folder: read_table(existing(folder, "gdshows.csv.gz", "gdshows.csv")),
)
