"""A week of 25 US classic rock stations, June 2014: a playlist is a day of a station.

FOLDER/classicrock.csv.gz: the songs of each day in the order of their plays.
"""

from ssl_audio.recommenders.data.loaders.published import Published, existing
from ssl_audio.recommenders.data.tables import read_table

DATASET = Published(
    citation="Walt Hickey, Why Classic Rock Isn't What It Used To Be, FiveThirtyEight 2014.",
    licence="CC BY 4.0",
    read=lambda folder: read_table(existing(folder, "classicrock.csv.gz", "classicrock.csv")),
)
