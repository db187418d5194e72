"""What a command says to the person who runs it: on standard error, so that output can be piped."""

import logging
import sys
import warnings


def say(message: str) -> None:
    """Print one message."""
    print(message, file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Print one warning."""
    say(f"warning: {message}")


def quieten_lightning() -> None:
    """Leave out what Lightning tells every user, and what none of ours can mend."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*resume.*dataloader.*",
        ".*sync_dist.*",
        ".*LeafSpec.*",
    ):
        warnings.filterwarnings("ignore", text)
