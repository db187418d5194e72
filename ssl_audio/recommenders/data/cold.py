"""Cold tracks: held out of every training playlist, to be reached by their sound alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def cold_tracks(ids: Sequence[str], share: float, seed: int = 0) -> np.ndarray:
    """Which tracks are held out: decided by a track's own name, whatever else is in the catalogue.

    Args:
        ids: of the catalogue's tracks.
        share: of them, 0 to 1, in expectation.
        seed: of the choice.

    Returns:
        (tracks,) bool.
    """
    limit = int(share * 2**64)
    names = (f"{seed}\0{track}".encode() for track in ids)
    drawn = [int.from_bytes(hashlib.sha256(n).digest()[:8], "big") < limit for n in names]
    return np.array(drawn, bool)
