"""Fixtures that every test may use."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the clone; a test that needs it is skipped without it."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data is absent: no folder {SHARED.name!r} beside the clone")
    return SHARED
