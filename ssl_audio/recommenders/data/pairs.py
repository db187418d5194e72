"""Pairs of a playlist and a track, as numbers."""

import numpy as np

from ssl_audio.recommenders.data.collection import Playlists


def pair_keys(playlists: Playlists, tracks: int) -> np.ndarray:
    """(positions,) int64, one number for each pair of playlist and track below `tracks`."""
    return playlists.owners.astype(np.int64) * tracks + playlists.tracks


def first_mentions(playlists: Playlists, tracks: int) -> np.ndarray:
    """(positions,) bool, True where a track is first in its playlist, False where it repeats."""
    mask = np.zeros(len(playlists.tracks), bool)
    mask[np.unique(pair_keys(playlists, tracks), return_index=True)[1]] = True
    return mask


def among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """True for the values that are in a sorted, non-empty array."""
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return ordered[place] == values
