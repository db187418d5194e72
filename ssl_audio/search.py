"""Tracks that sound alike: `ssl-audio search index=features.parquet query=song.mp3`."""

from __future__ import annotations

import sys
from functools import partial

from ssl_audio.io.csv_file import CsvWriter
from ssl_audio.settings.command import Command
from ssl_audio.settings.search import SearchSettings

COMMAND = Command(
    name="search",
    summary="Print the tracks of a feature store that are nearest to a query, as CSV.",
    usage="index=FILE query=FILE_OR_ID [KEY=VALUE ...]",
    examples=("index=features.parquet query=song.mp3 k=10",),
    settings=SearchSettings,
)


def run(settings: SearchSettings) -> None:
    """Search, and print rank, similarity, id and path."""
    from ssl_audio.catalogue.search import similar_tracks

    matches = similar_tracks(
        settings.index, settings.query, settings.k, settings.checkpoint, settings.approximate
    )
    writer = CsvWriter(sys.stdout)
    writer.row(["rank", "similarity", "id", "path"])
    for rank, match in enumerate(matches, 1):
        writer.row([rank, f"{match.similarity:.4f}", match.id, match.path])


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
