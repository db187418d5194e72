"""What the service shows in a browser."""

from __future__ import annotations

from fastapi import FastAPI


def mount(app: FastAPI) -> None:
    """Add the explorer's routes and files to the service's application.

    A route gets the loaded tracks and the settings by `state.Current` and `state.Shared`.
    """
