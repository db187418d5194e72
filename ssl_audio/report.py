"""Put the results of several runs on one page: `ssl-audio report runs/a runs/b`."""

import sys
from collections.abc import Sequence
from functools import partial
from glob import glob
from pathlib import Path

from ssl_audio.io.console import SOME_FAILED, say
from ssl_audio.io.errors import SslAudioError, named
from ssl_audio.settings.command import Command
from ssl_audio.settings.report import ReportSettings

COMMAND = Command(
    name="report", summary="Put the results of several runs of probe and recommend on one page.",
    usage="RUN [RUN ...] [output=FOLDER]",
    examples=("runs/probe-a runs/probe-b output=report", "runs/*"), settings=ReportSettings,
    positional=("runs",),
)  # fmt: skip


def run(settings: ReportSettings) -> int:
    """Read all results, then write the page and what belongs to it."""
    from ssl_audio.reports.page import read_comparisons, write_report

    found, failed = read_comparisons(_expanded(settings.runs))
    if not found:
        raise SslAudioError("none of these runs has results of probe or recommend")
    with named(f"output={settings.output}"):
        settings.output.mkdir(parents=True, exist_ok=True)
        files = write_report(found, settings.output)
    for path in files:
        say(str(path))
    return SOME_FAILED if failed else 0


def _expanded(paths: Sequence[Path]) -> list[Path]:
    """Paths, and the matches of patterns that the shell has not expanded."""
    found: list[Path] = []
    for path in paths:
        matches = [] if path.exists() else sorted(glob(str(path)))
        found += map(Path, matches) if matches else [path]
    return found


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
