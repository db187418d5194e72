"""Embed a whole catalogue: `ssl-audio embed source=/music checkpoint=contrastive output=...`."""

from __future__ import annotations

import sys
from functools import partial

from ssl_audio.io.console import SOME_FAILED, say
from ssl_audio.settings.command import Command
from ssl_audio.settings.embed import EmbedSettings

COMMAND = Command(
    name="embed",
    summary="Write the embeddings of a catalogue to a feature store; run again, it resumes.",
    usage="source=FOLDER checkpoint=FOLDER output=FILE [KEY=VALUE ...]",
    examples=("source=/music checkpoint=checkpoints/contrastive output=features.parquet",),
    settings=EmbedSettings,
)


def run(settings: EmbedSettings) -> int:
    """Embed what the store does not have yet; files that fail are listed in failures.csv."""
    from ssl_audio.catalogue.embedding import embed_catalogue

    summary = embed_catalogue(settings)
    say("\n".join(summary.lines()))
    return SOME_FAILED if summary.failures else 0


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
