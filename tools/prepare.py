"""Decode a collection once, into shards that training reads without decoding.

python tools/prepare.py /music /prepared
ssl-audio pretrain recipe=contrastive data=shards data.root=/prepared
"""

import sys
from functools import partial
from pathlib import Path

from ssl_audio.audio import SAMPLE_RATE, shards
from ssl_audio.audio.sources import list_audio
from ssl_audio.io.console import SOME_FAILED
from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import Group, setting


class PrepareSettings(Group):
    source: Path = setting(
        help="folder of audio, .txt with a path per line, or .csv or .parquet with a column path"
    )
    output: Path = setting(help="folder of the shards; an hour of audio takes 115 MB")
    workers: int | None = setting(
        None, help="threads that decode; null: the number of processors", min=1
    )
    shard_gib: float = setting(1.0, help="max size of a shard, GiB", above=0)


COMMAND = Command(
    name="prepare", script="python tools/prepare.py",
    summary="Decode a collection once, into shards for training; run again, it resumes.",
    usage="SOURCE OUTPUT [KEY=VALUE ...]",
    examples=("/music /prepared", "/music /prepared workers=8 shard_gib=0.5"),
    settings=PrepareSettings, positional=("source", "output"),
)  # fmt: skip


def run(settings: PrepareSettings) -> int:
    """Write the shards, and print what they hold."""
    seconds = settings.shard_gib * 2**30 / shards.SAMPLE_BYTES / SAMPLE_RATE
    found = shards.write_shards(
        list_audio(settings.source), settings.output, settings.workers, seconds
    )
    done = f"wrote {found.made} shards" if found.made else "complete already, nothing to do"
    print(f"{found.folder}: {len(found.tracks)} tracks, {found.hours:.2f} hours; {done}")
    if found.skipped:
        print(f"{found.skipped} files skipped, listed in {found.folder / 'skipped.csv'}")
    print(f"next: ssl-audio pretrain recipe=contrastive data=shards data.root={found.folder}")
    return SOME_FAILED if found.skipped else 0


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
