"""Train recommenders of tracks and compare them."""

import sys
from functools import partial
from pathlib import Path

from ssl_audio.io.console import SOME_FAILED
from ssl_audio.settings.command import Command
from ssl_audio.settings.recommend import RecommendSettings

COMMAND = Command(
    name="recommend",
    summary="Train playlist models and compare them with baselines on held-out playlists or "
    "sessions; write their track vectors.",
    usage="playlists=FILE [model=musig] [KEY=VALUE ...]",
    examples=("playlists=playlists.duckdb stores.acoustic=acoustic.parquet",
              "playlists=ml-latest-small model=m2grl",
              "playlists=playlists.duckdb model=[transformer] seeds=5"),
    settings=RecommendSettings,
)  # fmt: skip


def run(settings: RecommendSettings) -> int:
    """Returns the exit status: `SOME_FAILED` if tracks of the playlists are not known."""
    from ssl_audio.recommenders.comparison import compare
    from ssl_audio.recommenders.data.training_data import UNKNOWN_POSITIONS
    from ssl_audio.reports.page import publish

    results = compare(settings)
    publish(results, Path(results.run))
    return SOME_FAILED if results.data.counts.get(UNKNOWN_POSITIONS) else 0


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
