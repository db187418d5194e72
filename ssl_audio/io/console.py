"""Messages of commands, on standard error so that output can be piped, and exit statuses."""

import errno
import io
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ssl_audio.io import log
from ssl_audio.io.errors import SslAudioError, first_line

SOME_FAILED = 3
EXIT_STATUSES = {
    0: "done",
    1: "an error of the user, in one line",
    SOME_FAILED: "done, but some items failed and are listed",
    130: "interrupted",
    143: "terminated",
}
# errors of files that are nobody's fault in the code: a full disk, no permission, a long name
_OF_THE_MACHINE = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG,
    errno.ELOOP, errno.EIO,
}  # fmt: skip


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM)."""


def say(message: str) -> None:
    """Print one message."""
    _print("message", message)


def warn(message: str) -> None:
    """Print one warning."""
    _print("warning", message, "warning: ")


def _print(event: str, message: str, prefix: str = "", **details: str) -> None:
    if log.as_json():
        log.event(event, text=message, **details)
    else:
        print(f"{prefix}{message}", file=sys.stderr, flush=True)


def guarded(run: Callable[[], int | None]) -> int:
    """Run a command; returns its exit status (None is 0), after one line for a user's error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that a terminal cannot show stop nothing
            stream.reconfigure(errors="backslashreplace")
    status = _guarded(run)
    log.event("end", status=status, meaning=EXIT_STATUSES.get(status))
    return status


def _guarded(run: Callable[[], int | None]) -> int:
    try:
        return run() or 0
    except SslAudioError as error:
        return _failed(str(error))
    except Terminated:
        say("terminated")
        return 143
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            name = f"{error.filename}: " if error.filename is not None else ""
            return _failed(f"{name}{error.strerror}")
        if not log.as_json():
            raise
        return _failed(first_line(error), traceback=traceback.format_exc())


def _failed(message: str, **details: str) -> int:
    _print("error", message, "error: ", **details)
    return 1


@contextmanager
def terminable() -> Iterator[None]:
    """Within it, SIGTERM ends the work as Ctrl-C does: what is finished can be written."""

    def end(number: int, frame: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def quieten_lightning() -> None:
    """Suppress irrelevant messages of Lightning."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*resume.*dataloader.*",
        ".*sync_dist.*",
        ".*LeafSpec.*",
        ".*exists and is not empty.*",
    ):
        warnings.filterwarnings("ignore", text)
