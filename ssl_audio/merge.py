"""Join stores of several machines: `ssl-audio merge shards/*.parquet output=features.parquet`."""

import sys
from functools import partial

from ssl_audio.io.console import say
from ssl_audio.settings.command import Command
from ssl_audio.settings.merge import MergeSettings

COMMAND = Command(
    name="merge",
    summary="Bring a feature store up to date with others: shards of a source, or several sources.",
    usage="STORE [STORE ...] output=FILE [KEY=VALUE ...]",
    examples=("shards/*.parquet output=features.parquet",),
    settings=MergeSettings,
    positional=("stores",),
)


def run(settings: MergeSettings) -> None:
    """Merge, and print what has changed."""
    from ssl_audio.catalogue.merge import merge_stores

    say("\n".join(merge_stores(settings).lines()))


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
