"""Embed a whole catalogue: `ssl-audio embed source=/music checkpoint=contrastive output=...`."""

import sys
from functools import partial

from ssl_audio.settings.command import Command
from ssl_audio.settings.embed import EmbedSettings

COMMAND = Command(
    name="embed",
    summary="Bring a feature store up to date with the files of a catalogue: their embeddings.",
    usage="source=FOLDER checkpoint=FOLDER output=FILE [KEY=VALUE ...]",
    examples=("source=/music checkpoint=checkpoints/contrastive output=features.parquet",),
    settings=EmbedSettings,
)


def run(settings: EmbedSettings) -> int:
    """Embed what is new or has changed; files that fail are listed in NAME-failures.csv."""
    from ssl_audio.catalogue.embedding import embed_catalogue

    return embed_catalogue(settings).finish(settings.max_failed)


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
