"""Continue a playlist, or compute vectors of new tracks, by a model of a run of `recommend`."""

import sys
from functools import partial

from ssl_audio.io.console import SOME_FAILED
from ssl_audio.settings.command import Command
from ssl_audio.settings.complete import CompleteSettings

COMMAND = Command(
    name="complete",
    summary="Continue a playlist with a trained playlist model, or compute vectors of new tracks.",
    usage="playlist=FILE [run=RUN] [length=30] | stores.GROUP=FILE [run=RUN] [output=FILE]",
    examples=("playlist=my.m3u run=runs/mine length=30",
              "run=runs/mine stores.acoustic=new.parquet output=vectors.parquet"),
    settings=CompleteSettings,
)  # fmt: skip


def run(settings: CompleteSettings) -> int:
    """Returns the exit status: `SOME_FAILED` if tracks of the playlists are not known."""
    if settings.playlist is None:
        from ssl_audio.recommenders.induction import write_new_vectors

        unknown = write_new_vectors(settings)
    else:
        from ssl_audio.recommenders.continuation import continue_playlist

        unknown = continue_playlist(settings)
    return SOME_FAILED if unknown else 0


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
