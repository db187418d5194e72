"""Names and sounds of the tracks of a small service."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from starlette.testclient import TestClient

# what a URL, a shell or a router would read as something else
IDS = ["a/b c.wav", "Motörhead/(live) it's 100%.wav", "a/audio.wav", "日本/#1?x=y&z.wav", 
       "q+%2F.wav",
       "a/b/waveform", "..wav"]  # fmt: skip
RATE = 16_000
BASE = "http://127.0.0.1:8000"

Client = Callable[..., TestClient]


def tone(k: int, seconds: float = 0.5) -> np.ndarray:
    """A tone whose level rises from 0 to 0.5, different for each k."""
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.5 * time / seconds * np.sin(2 * np.pi * 110 * (k + 1) * time)
