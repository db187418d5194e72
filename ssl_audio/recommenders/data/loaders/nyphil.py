"""Concert programmes of the New York Philharmonic since 1842: works with their composers.

FOLDER/nyphil.csv.gz: programmes of three or more works, in the order of the concert.
"""

from ssl_audio.recommenders.data.loaders.published import Published, existing
from ssl_audio.recommenders.data.tables import read_table

DATASET = Published(
    citation="New York Philharmonic Performance History, archives.nyphil.org.",
    licence="CC0 1.0",
    read=lambda folder: read_table(existing(folder, "nyphil.csv.gz", "nyphil.csv")),
)
