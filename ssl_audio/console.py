"""What a command says to the person who runs it: on standard error, so that output can be piped."""

import sys


def say(message: str) -> None:
    """Print one message."""
    print(message, file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Print one warning."""
    say(f"warning: {message}")
