"""`ssl-audio COMMAND ...` and `python -m ssl_audio COMMAND ...`: every command of the package."""

import sys
from collections.abc import Sequence
from importlib import import_module

from ssl_audio.io.console import EXIT_STATUSES, guarded
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.version import __version__
from ssl_audio.settings.tree import unknown_choice

COMMANDS = {
    "pretrain": "train an encoder on unlabelled audio",
    "probe": "measure encoders by probes on tags, with confidence intervals",
    "embed": "write the embeddings of a catalogue to a feature store",
    "merge": "bring a feature store up to date with the stores of several machines or sources",
    "tag": "write the tags of a catalogue, by a probe that was trained before",
    "search": "find the tracks of a feature store that are nearest to a query",
    "acoustic": "compact acoustic features from embeddings, or descriptors from audio",
    "export": "write an encoder as ONNX or torch.export program",
    "demo": "generate playlists over excerpts of recordings, with features of each track",
    "recommend": "train and compare playlist models",
    "complete": "continue a playlist, or compute vectors of new tracks, with a trained model",
    "serve": "answer over HTTP: tags, neighbours and playlists of tracks and of new files",
    "report": "put the results of several runs on one page",
}


def help_text() -> str:
    """One line a command."""
    lines = [f"  {name:<10} {summary}" for name, summary in COMMANDS.items()]
    statuses = [f"  {code:<10} {meaning}" for code, meaning in EXIT_STATUSES.items()]
    return "\n".join(
        ["usage: ssl-audio COMMAND [KEY=VALUE ...]", "", "commands:", *lines, "",
         "ssl-audio COMMAND --help lists all settings of a command.", "", "exit status:", *statuses]
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in COMMANDS:
        status: int = import_module(f"ssl_audio.{words[0]}").main(words[1:])
        return status
    return guarded(lambda: _without_command(words))


def _without_command(words: list[str]) -> None:
    if words == ["--version"]:
        print(f"ssl_audio {__version__}")
    elif not words or words[0] in ("-h", "--help"):
        print(help_text())
    else:
        raise SslAudioError(unknown_choice("command", words[0], COMMANDS))


if __name__ == "__main__":
    sys.exit(main())
