"""List tracks that sound almost the same, by the cosine of their embeddings.

ssl-audio embed source=/music checkpoint=contrastive output=features.parquet
python tools/near_duplicates.py features.parquet near.csv
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.csv_file import CsvWriter
from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import Group, setting
from ssl_audio.stores.feature_store import Stored, read_store
from ssl_audio.stores.neighbours import NeighbourIndex

BLOCK = 1024  # queries at a time


class NearSettings(Group):
    store: Path = setting(help="feature store of the tracks, as ssl-audio embed writes it")
    output: Path = setting(help="CSV of pairs of tracks: path, other, cosine")
    min_cosine: float = setting(0.98, help="cosine from which a pair is listed", above=0, max=1)
    neighbours: int = setting(10, help="most similar tracks that are examined for each", min=1)


COMMAND = Command(
    name="near_duplicates", script="python tools/near_duplicates.py",
    summary="List tracks that sound almost the same, for review.",
    usage="STORE OUTPUT [KEY=VALUE ...]",
    examples=("features.parquet near.csv", "features.parquet near.csv min_cosine=0.99"),
    settings=NearSettings, positional=("store", "output"),
)  # fmt: skip


def near_pairs(
    stored: Stored, min_cosine: float, neighbours: int
) -> Iterator[tuple[int, int, float]]:
    """Rows of two tracks, the lower first, and their cosine; each pair once."""
    index = NeighbourIndex(stored.vectors, "cosine", approximate=None)
    seen = set()
    for first in range(0, len(stored.vectors), BLOCK):
        rows, cosines = index.nearest(stored.vectors[first : first + BLOCK], neighbours + 1)
        for track, (others, values) in enumerate(zip(rows, cosines, strict=True), first):
            for other, cosine in zip(others.tolist(), values.tolist(), strict=True):
                pair = (min(track, other), max(track, other))
                if track != other and cosine >= min_cosine and pair not in seen:
                    seen.add(pair)
                    yield (*pair, cosine)


def run(settings: NearSettings) -> None:
    """Write the pairs, the most similar first, and print their number."""
    stored = read_store(settings.store)
    pairs = sorted(near_pairs(stored, settings.min_cosine, settings.neighbours),
                   key=lambda pair: (-pair[2], pair[:2]))  # fmt: skip
    with (
        atomic_file(settings.output) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = CsvWriter(file)
        writer.row(["path", "other", "cosine"])
        writer.rows(
            (stored.paths[other], stored.paths[track], f"{cosine:.4f}")
            for track, other, cosine in pairs
        )
    tracks = len({track for pair in pairs for track in pair[:2]})
    print(f"{settings.output}: {len(pairs)} pairs, {tracks} of {len(stored.ids)} tracks")


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
