"""Messages of commands, on standard error so that output can be piped, and exit statuses."""

import logging
import os
import sys
import warnings
from collections.abc import Callable

from ssl_audio.io.errors import SslAudioError

SOME_FAILED = 3
EXIT_STATUSES = {
    0: "done",
    1: "an error of the user, in one line",
    SOME_FAILED: "done, but some items failed and are listed",
    130: "interrupted",
}


def say(message: str) -> None:
    """Print one message."""
    print(message, file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Print one warning."""
    say(f"warning: {message}")


def guarded(run: Callable[[], int | None]) -> int:
    """Run a command; returns its exit status (None is 0), after one line for a user's error."""
    try:
        return run() or 0
    except SslAudioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


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
