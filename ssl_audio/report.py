"""Put comparisons side by side: `python -m ssl_audio.report runs/*`."""

from __future__ import annotations

import glob
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_audio.io.console import guarded, say, warn
from ssl_audio.io.errors import SslAudioError

HELP = """Put the figures of several runs of probe and recommend on one page.

usage: python -m ssl_audio.report RUN [RUN ...] [output=FOLDER]

  RUN       a run's folder, or its results.json
  output    folder of report.html, results.csv, table.tex and figures/; default: report

example:
  python -m ssl_audio.report runs/* output=report"""


WANTED = {
    "probe": ("dataset", "protocol", "differences", "map", "systems"),
    "playlists": ("data", "protocol", "tables", "losses", "correlation"),
}
ALWAYS = ("config", "versions", "seed", "run", "seconds")


def read_results(path: Path) -> dict[str, Any] | None:
    """A run's results; None, with a line, where it is no comparison.

    Raises:
        SslAudioError: the file is damaged.
    """
    file = path / "results.json" if path.is_dir() else path
    if not file.is_file():
        say(f"{path}: no results.json, left out")
        return None
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
        kind = results.get("kind")
        if kind not in WANTED:
            say(f"{path}: no comparison of probes or playlist models, left out")
            return None
        if results["format"] != 1:
            raise SslAudioError(f"{file}: format {results['format']}; this version reads format 1")
        for key in (*WANTED[kind], *ALWAYS):
            results[key]
        if kind == "probe":
            results["systems"][0]["name"], results["dataset"]["name"]
        else:
            results["tables"][0]["rows"][0]["system"], results["data"]["name"]
        return results
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise SslAudioError(f"{file} is damaged: {error!r}") from error


def collect(paths: Sequence[str]) -> list[dict[str, Any]]:
    """All runs that can be read; a damaged one is a warning.

    Raises:
        SslAudioError: none can.
    """
    found = []
    for path in paths:
        try:
            results = read_results(Path(path))
        except SslAudioError as error:
            warn(str(error))
            continue
        if results is not None:
            found.append(results)
    if not found:
        raise SslAudioError("no run with results of probe or recommend among these: see --help")
    return found


def _expanded(words: Sequence[str]) -> list[str]:
    """Patterns to what they name, where the shell has not done it."""
    return [path for word in words for path in (sorted(glob.glob(word)) or [word])]


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(words):
        print(HELP)
        return 0
    return guarded(lambda: _report(words))


def _report(words: Sequence[str]) -> None:
    output = [word.partition("=")[2] for word in words if word.startswith("output=")]
    found = collect(_expanded([word for word in words if not word.startswith("output=")]))
    folder = Path(output[-1] if output else "report")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SslAudioError(f"output={folder}: {error.strerror}") from error
    from ssl_audio.reports.page import write_report

    for path in write_report(found, folder):
        say(str(path))


if __name__ == "__main__":
    sys.exit(main())
