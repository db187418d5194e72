"""Held-out playlists and tracks, chosen by hashes of their ids.

Whether an id is held out depends on the id and the seed alone: whatever else its source holds, and
in whatever order, the same playlist is in the same split and the same tracks are cold.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

SPLITS = ("train", "validation", "test")
FRACTIONS = (0.8, 0.1, 0.1)


def splits_of(ids: Sequence[str], seed: int = 0) -> np.ndarray:
    """(playlists,) int8 index into `SPLITS` of each playlist; `FRACTIONS` hold in expectation."""
    key = str(seed).encode()
    hashes = b"".join(
        hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in ids
    )
    uniform = (np.frombuffer(hashes, "<u8") >> 11) * 2.0**-53  # [0, 1)
    ends = np.cumsum(FRACTIONS) / np.sum(FRACTIONS)
    return np.searchsorted(ends[:2], uniform, side="right").astype(np.int8)


def cold_tracks(ids: Sequence[str], share: float, seed: int = 0) -> np.ndarray:
    """(tracks,) bool, True for tracks that are left out of all training playlists.

    Args:
        ids: of the catalogue's tracks.
        share: expected share of the tracks, 0 to 1.
        seed: of the choice.
    """
    limit = int(share * 2**64)
    names = (f"{seed}\0{track}".encode() for track in ids)
    drawn = [int.from_bytes(hashlib.sha256(n).digest()[:8], "big") < limit for n in names]
    return np.array(drawn, bool)
