"""Answer over HTTP: `ssl-audio serve features=features.parquet`."""

import sys
from functools import partial

from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.command import Command
from ssl_audio.settings.serve import ServeSettings

COMMAND = Command(
    name="serve",
    summary="Serve a feature store, an encoder and a playlist model over HTTP, with an explorer.",
    usage="features=FILE [run=RUN] [KEY=VALUE ...]",
    examples=(
        "features=features.parquet",
        "features=features.parquet acoustic=acoustic.parquet run=runs/playlists roots=[/music]",
    ),
    settings=ServeSettings,
)


def run(settings: ServeSettings) -> None:
    """Serve until Ctrl-C or SIGTERM; requests that are being answered are finished."""
    try:
        from ssl_audio.service.server import serve
    except ModuleNotFoundError as error:
        install = 'pip install "ssl_audio[serve]"'
        raise SslAudioError(f"serve needs {error.name}: {install}") from error
    serve(settings)


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
