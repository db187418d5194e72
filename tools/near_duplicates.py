"""List tracks that sound almost the same, by the cosine of their embeddings.

ssl-audio embed source=/music checkpoint=contrastive output=features.parquet
python tools/near_duplicates.py features.parquet near.csv
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.csv_file import CsvWriter
from ssl_audio.io.remote import Url
from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import Group, setting
from ssl_audio.stores.feature_store import count_rows
from ssl_audio.stores.kept_graph import has_graph
from ssl_audio.stores.neighbours import searches_by_graph
from ssl_audio.stores.remote import fetched
from ssl_audio.stores.store_search import StoreGraph, nearest_tracks, usable_vectors

BLOCK = 4096  # queries at a time: an exact search reads the store for each block


class NearSettings(Group):
    store: Path | Url = setting(help="feature store of the tracks, as ssl-audio embed writes it")
    output: Path = setting(help="CSV of pairs of tracks: path, other, cosine")
    min_cosine: float = setting(0.9, help="cosine from which a pair is listed", above=0, max=1)
    neighbours: int = setting(10, help="most similar tracks that are examined for each", min=1)


COMMAND = Command(
    name="near_duplicates", script="python tools/near_duplicates.py",
    summary="List tracks that sound almost the same, for review.",
    usage="STORE OUTPUT [KEY=VALUE ...]",
    examples=("features.parquet near.csv", "features.parquet near.csv min_cosine=0.95"),
    settings=NearSettings, positional=("store", "output"),
)  # fmt: skip


class Pair(NamedTuple):
    """Two tracks that sound almost the same."""

    cosine: float
    path: str  # of the one that comes later in the store
    other: str


def near_pairs(store: Path, min_cosine: float, neighbours: int) -> Iterator[Pair]:
    """The pairs of a store, each once.

    A store of more than 200,000 tracks, or with which a graph is kept, is searched by its graph.
    """
    by_graph = has_graph(store) or searches_by_graph(count_rows(store), None)
    nearest = StoreGraph(store).nearest if by_graph else partial(nearest_tracks, store)
    before: set[str] = set()
    seen: set[frozenset[str]] = set()
    for table, vectors in usable_vectors(store):
        tracks = zip(table["id"].to_pylist(), table["path"].to_pylist(), strict=True)
        for first in range(0, len(vectors), BLOCK):
            found = nearest(vectors[first : first + BLOCK], neighbours + 1)
            for matches, (track, path) in zip(found, tracks):  # noqa: B905 - of the next block
                before.add(track)
                for match in matches:
                    ids = frozenset((track, match.id))
                    if len(ids) == 2 and match.similarity >= min_cosine and ids not in seen:
                        seen.add(ids)
                        later = (path, match.path) if match.id in before else (match.path, path)
                        yield Pair(match.similarity, *later)


def run(settings: NearSettings) -> None:
    """Write the pairs, the most similar first, and print their number."""
    store = fetched(settings.store)
    found = near_pairs(store, settings.min_cosine, settings.neighbours)
    pairs = sorted(found, key=lambda pair: (-pair.cosine, pair[1:]))
    with (
        atomic_file(settings.output) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = CsvWriter(file)
        writer.row(["path", "other", "cosine"])
        writer.rows((pair.path, pair.other, f"{pair.cosine:.4f}") for pair in pairs)
    tracks = len({path for pair in pairs for path in pair[1:]})
    print(f"{settings.output}: {len(pairs)} pairs, {tracks} of {count_rows(store)} tracks")


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
