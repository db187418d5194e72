"""Compare playlist models, continue a playlist, or compute vectors of new tracks."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from ssl_audio.io.console import SOME_FAILED
from ssl_audio.settings.command import Command
from ssl_audio.settings.recommend import RecommendSettings

COMMAND = Command(
    name="recommend",
    summary="Train playlist models and compare them with baselines on held-out playlists; or "
    "continue a playlist, or compute vectors of new tracks, by a trained model.",
    usage="playlists=FILE [model=musig] | playlist=FILE [run_dir=RUN] | apply=RUN output=FILE",
    examples=("playlists=playlists.duckdb stores.acoustic=acoustic.parquet",
              "movielens=ml-latest-small model=m2grl",
              "playlist=my.m3u run_dir=runs/mine length=30",
              "apply=runs/mine stores.acoustic=new.parquet output=vectors.parquet"),
    settings=RecommendSettings,
)  # fmt: skip


def run(settings: RecommendSettings) -> int:
    """Returns the exit status: `SOME_FAILED` if tracks of the playlists are not known."""
    if settings.apply is not None:
        from ssl_audio.recommenders.induction import write_new_vectors

        unknown = write_new_vectors(
            settings.apply, settings.output or Path("vectors.parquet"), settings.stores,
            settings.playlists, music=settings.music, unknown=settings.unknown,
            min_weight=settings.graph.min_weight, missing=settings.missing,
        )  # fmt: skip
    elif settings.playlist is not None:
        from ssl_audio.recommenders.continuation import continue_playlist

        unknown = continue_playlist(
            settings.playlist, settings.output, settings.run_dir, length=settings.length,
            k=settings.k, seed=settings.seed, approximate=settings.approximate,
            music=settings.music, embeddings=settings.stores.embeddings,
        )  # fmt: skip
    else:
        from ssl_audio.recommenders.comparison import compare
        from ssl_audio.recommenders.data.training_data import UNKNOWN_POSITIONS
        from ssl_audio.reports.page import publish

        results = compare(settings)
        publish(results, Path(results.run))
        unknown = results.data.counts.get(UNKNOWN_POSITIONS, 0)
    return SOME_FAILED if unknown else 0


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
