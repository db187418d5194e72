"""Fixtures that every test may use."""

import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("no deadline", deadline=None)  # a slow machine fails no test
hypothesis.settings.load_profile("no deadline")
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the clone; a test that needs it is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data is absent: no folder {SHARED.name!r} beside the clone")
    return SHARED


@pytest.fixture(scope="session")
def interruptible() -> Callable[[], None]:
    """For `Popen(preexec_fn=)`: a shell that runs the tests in the background makes its children
    deaf to Ctrl-C, which a user's terminal does not."""

    def restore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return restore
