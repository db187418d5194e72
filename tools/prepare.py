"""Decode a collection once, into shards that training reads without decoding.

    python tools/prepare.py /music /prepared
    python -m ssl_audio.pretrain recipe=contrastive data=shards data.root=/prepared

SOURCE is a folder of audio, a text file with a path a line, or a CSV or Parquet file with a column
`path`. An interrupted run goes on where it was when it is started again. An hour takes 115 MB.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ssl_audio.audio import SAMPLE_RATE, shards, sources
from ssl_audio.audio.sources import Source
from ssl_audio.io.console import guarded
from ssl_audio.io.errors import SslAudioError


def sources_of(given: str) -> list[Source]:
    """List the files of a folder, a list or a table, as data=folder and data=manifest do.

    Raises:
        SslAudioError: none of these, or nothing in it.
    """
    path = Path(given)
    if path.is_dir():
        return sources.find_audio(path)
    if not path.exists():
        raise SslAudioError(f"{given} does not exist: give a folder of audio, or a list of files")
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return sources.read_list(path)
    if suffix in (".csv", ".parquet"):
        return sources.read_table(path)
    raise SslAudioError(f"{given} is no folder, .txt, .csv or .parquet: give one of them")


def report(found: shards.Shards) -> str:
    """What there is now, and what to do with it."""
    done = f"wrote {found.made} shards" if found.made else "complete already, nothing to do"
    lines = [f"{found.folder}: {len(found.tracks)} tracks, {found.hours:.2f} hours; {done}"]
    if found.skipped:
        lines.append(f"{found.skipped} files skipped, listed in {found.folder / 'skipped.csv'}")
    root = f"data=shards data.root={found.folder}"
    return "\n".join([*lines, f"next: python -m ssl_audio.pretrain recipe=contrastive {root}"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="SOURCE", help="folder, .txt, .csv or .parquet")
    parser.add_argument("output", metavar="OUTPUT", help="folder to write to")
    parser.add_argument("--workers", type=int, help="threads; default: one a processor")
    parser.add_argument("--shard-gib", type=float, default=1.0, help="size of a shard at most")
    options = parser.parse_args(arguments)
    return guarded(lambda: prepare(options), "interrupted; run the same again to go on")


def prepare(options: argparse.Namespace) -> None:
    """Write the shards, and say what there is."""
    seconds = options.shard_gib * 2**30 / shards.SAMPLE_BYTES / SAMPLE_RATE
    sources = sources_of(options.source)
    print(report(shards.write_shards(sources, options.output, options.workers, seconds)))


if __name__ == "__main__":
    sys.exit(main())
