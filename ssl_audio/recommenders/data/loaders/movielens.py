"""MovieLens 100k, 1M, 10M, 20M, 25M and latest: a playlist is a user's ratings by time.

FOLDER as unpacked from grouplens.org; see `movielens.read_movielens`.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ssl_audio.recommenders.data.grouping import grouped
from ssl_audio.recommenders.data.loaders.published import Published
from ssl_audio.recommenders.data.movielens import read_movielens
from ssl_audio.recommenders.data.records import Record


def _read(folder: Path) -> Iterator[Record]:
    found = read_movielens(folder)
    movies = pa.table({
        "track": found.catalogue.ids, "title": found.catalogue.titles,
        "genre": found.catalogue.genres,
    })  # fmt: skip
    table = movies.take(pa.array(found.events.item))
    users = pa.array(found.events.user).cast("string")
    table = table.append_column("playlist", users)
    yield from grouped(table.append_column("position", pa.array(found.events.time)))


DATASET = Published(
    citation=(
        "F. M. Harper, J. A. Konstan. The MovieLens datasets: history and context. ACM "
        "Transactions on Interactive Intelligent Systems 5(4), 2015."
    ),
    licence="research, no commercial use without permission of GroupLens",
    read=_read,
)
