"""Compressed rows: rows of different lengths, stored one after the other in one array.

Row k of an array `values` is `values[offsets[k]:offsets[k + 1]]`; `offsets` is (rows + 1,) int64.
Playlists, graphs, sessions and the links of items with attributes are all stored so.
"""

from collections.abc import Callable

import numpy as np


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """(rows + 1,) int64 offsets of rows with these lengths."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def owners_of(offsets: np.ndarray) -> np.ndarray:
    """(values,) int32, the row that each value is in."""
    return np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))


def places_of(offsets: np.ndarray) -> np.ndarray:
    """(values,) int64, the place of each value in its row, from 0."""
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1], np.diff(offsets))


def take_rows(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the values of some rows, in the order given, and the offsets of these rows."""
    lengths = np.diff(offsets)[rows]
    taken = offsets_of(lengths)
    return np.repeat(offsets[rows] - taken[:-1], lengths) + np.arange(taken[-1]), taken


def kept_offsets(offsets: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(rows + 1,) offsets of the rows when only the values of a mask (values,) are kept."""
    return offsets_of(mask)[offsets]


def group_by(keys: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) the stable order that sorts keys 0 to `groups` - 1, and (groups + 1,) offsets in it."""
    order = np.argsort(keys, kind="stable")
    return order, offsets_of(np.bincount(keys, minlength=groups))


def run_starts(values: np.ndarray) -> np.ndarray:
    """(n,) bool, True where a value differs from the one before it; True for the first."""
    return np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]


def row_offsets(starts: np.ndarray) -> np.ndarray:
    """(rows + 1,) offsets of rows from a mask (values,) that is True where a row starts."""
    return np.append(np.flatnonzero(starts), len(starts))


def bisect_rows(
    offsets: np.ndarray, rows: np.ndarray, below: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """(n,) the number of first values of each row for which `below` is true: one joint bisection.

    Args:
        offsets: (rows + 1,).
        rows: (n,) rows to search.
        below: maps positions (n,), one in each row, to (n,) bool; within a row, it is true up to
            some position and false after it.
    """
    starts = offsets[rows]
    counts = offsets[rows + 1] - starts
    found = np.zeros_like(starts)
    for bit in reversed(range(int(counts.max(initial=0)).bit_length())):
        more = found + (1 << bit)
        # a position beyond the row may lie beyond the array: the last one is read instead
        positions = np.minimum(starts + more, offsets[-1]) - 1
        found = np.where((more <= counts) & below(positions), more, found)
    return found
