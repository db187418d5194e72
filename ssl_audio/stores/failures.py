"""Tracks without a row, remembered in the store until they have one or are gone."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from ssl_audio.io.atomic import write_text
from ssl_audio.io.csv_file import CsvWriter
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.json_file import read_json

FAILURES = "_failures.json"
MAX_TRIES = 3  # of a file whose decoder crashed or did not answer


class Failure(NamedTuple):
    """A track without a result, and why."""

    id: str
    path: str
    reason: str
    lasting: bool = False  # True if it fails until the file changes
    sha256: str = ""  # of the file, where it could be read
    size: int | None = None  # bytes
    mtime_ns: int | None = None  # time of the last change, nanoseconds since 1970
    when: str = ""  # of the last try, UTC
    tries: int = 0

    def tried(self, before: Failure | None) -> Failure:
        """The failure after one more try; one of the same content lasts after the third.

        Args:
            before: the failure of the same track that an earlier run has found.
        """
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        tries = 1 + (before.tries if before and before.sha256 == self.sha256 else 0)
        lasting = self.lasting or (bool(self.sha256) and tries >= MAX_TRIES)
        return self._replace(when=now, tries=tries, lasting=lasting)


def read_failures(folder: Path) -> dict[str, Failure]:
    """The failures that a store remembers, by id.

    Raises:
        SslAudioError: they are damaged.
    """
    path = folder / FAILURES
    try:
        return {failure.id: failure for failure in map(_failure, read_json(path))}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SslAudioError(f"{path} is damaged: remove it, then all are tried again") from error


def _failure(values: Mapping[str, Any]) -> Failure:
    """A failure from its JSON values; TypeError for those of another form."""
    failure = Failure(**values)
    for name, kind in get_type_hints(Failure).items():
        if not isinstance(getattr(failure, name), kind):
            raise TypeError(name)
    return failure


def write_failures(folder: Path, failures: Iterable[Failure]) -> None:
    """Remember failures in a store, in one step."""
    lines = ",\n".join(json.dumps(failure._asdict()) for failure in failures)
    write_text(folder / FAILURES, f"[\n{lines}\n]\n")


def failures_table(output: Path) -> Path:
    """The table of failures for people, beside a store: `NAME-failures.csv`."""
    return output.with_name(f"{output.stem}-failures.csv")


def write_failures_table(path: Path, failures: Mapping[str, Failure]) -> None:
    """Write the failures as CSV in the order of their ids; without any, remove the file."""
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.row(["id", "path", "reason", "tries", "time"])
    for _, one in sorted(failures.items()):
        writer.row([one.id, one.path, one.reason, one.tries, one.when])
    if failures:
        write_text(path, text.getvalue())
    else:
        path.unlink(missing_ok=True)
