"""Structured logs, `log=json`: one JSON object a line on standard error, for log collectors.

Each has `time` (UTC) and `event`: start, message, warning, progress, failure, summary, error, end,
or log for what other packages write. With `log=text`, `event` writes nothing.
"""

import json
import logging
import math
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

EVERY = 10.0  # seconds between two events of progress
_as_json = False  # of the command that runs in this process


class _Handler(logging.Handler):
    """Messages of other packages, and Python's warnings, as events."""

    def emit(self, record: logging.LogRecord) -> None:
        event("log", level=record.levelname.lower(), logger=record.name, text=record.getMessage())


_HANDLER = _Handler(logging.WARNING)


def as_json() -> bool:
    """True if standard error takes events instead of text and progress bars."""
    return _as_json


def set_json(on: bool) -> None:
    """Choose between events and text for this process."""
    global _as_json
    if on != _as_json:
        _as_json = on
        logging.captureWarnings(on)
        (logging.root.addHandler if on else logging.root.removeHandler)(_HANDLER)


def event(name: str, **values: Any) -> None:
    """Write an event with `log=json`; nothing else."""
    if _as_json:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps(_finite({"time": now, "event": name, **values}), default=str)
        sys.stderr.write(f"{line}\n")  # in one call, since threads write too
        sys.stderr.flush()


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Progress:
    """Events of a long piece of work: the first, one every `EVERY` seconds, and the last.

    `per_second` is the rate since the event before, `seconds_left` an estimate from the rate of the
    whole run.

    Args:
        total: number of items; None where it is unknown.
        unit: what an item is, in the plural.
        done: items that an earlier run has finished.
    """

    def __init__(self, title: str, total: int | None, unit: str, done: int = 0) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self._first = self._before = done
        self._started = self._last = time.monotonic()
        self.write()

    def advance(self) -> None:
        """One more item is done."""
        self.done += 1
        if self.is_due():
            self.write()

    def is_due(self) -> bool:
        """True if it is time for an event."""
        return time.monotonic() - self._last >= EVERY

    def write(self, **values: Any) -> None:
        """Write an event now."""
        now = time.monotonic()
        rate = (self.done - self._before) / max(now - self._last, 1e-9)
        overall = (self.done - self._first) / max(now - self._started, 1e-9)
        known = self.total is not None and overall > 0
        left = round(((self.total or 0) - self.done) / overall, 1) if known else None
        values = {"per_second": round(rate, 3), "seconds_left": left, **values}
        done = {"unit": self.unit, "done": self.done, "total": self.total}
        event("progress", title=self.title, **done, **values)
        self._before, self._last = self.done, now
