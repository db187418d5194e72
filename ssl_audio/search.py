"""Tracks that sound alike: `ssl-audio search index=features.parquet query=song.mp3`."""

import sys
from functools import partial
from pathlib import Path

from ssl_audio.io.console import SOME_FAILED, warn
from ssl_audio.io.csv_file import CsvWriter
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.command import Command
from ssl_audio.settings.search import SearchSettings

COMMAND = Command(
    name="search",
    summary="Print the tracks of a feature store that are nearest to a query, as CSV.",
    usage="index=FILE query=FILE_OR_ID [KEY=VALUE ...]",
    examples=("index=features.parquet query=song.mp3 k=10",
              "index=features.parquet queries=songs.txt prefix=rock/"),
    settings=SearchSettings,
)  # fmt: skip


def run(settings: SearchSettings) -> int:
    """Search, and print rank, similarity, id and path; of several queries, the query too."""
    from ssl_audio.catalogue.search import Query, read_queries, similar_tracks
    from ssl_audio.stores.remote import fetched

    if settings.queries is None:
        queries = [Query(settings.query, Path(settings.query), "query=")]
    else:
        queries = read_queries(settings.queries)
    results = similar_tracks(
        fetched(settings.index), queries, settings.k, settings.checkpoint, settings.approximate,
        settings.prefix, settings.deleted,
    )  # fmt: skip
    failed = [result for result in results if isinstance(result, SslAudioError)]
    if len(failed) == len(results):
        raise failed[0]
    writer, several = CsvWriter(sys.stdout), settings.queries is not None
    writer.row([*(["query"] if several else []), "rank", "similarity", "id", "path"])
    for query, result in zip(queries, results, strict=True):
        for rank, match in enumerate(() if isinstance(result, SslAudioError) else result, 1):
            cells = [rank, f"{match.similarity:.4f}", match.id, match.path]
            writer.row([*([query.text] if several else []), *cells])
    for error in failed:
        warn(str(error))
    return SOME_FAILED if failed else 0


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
