"""Ranked lists from the whole catalogue, by exact search."""

from typing import Protocol

import numpy as np
import torch

from ssl_audio.recommenders.data.collection import Playlists

CELLS = 12_000_000  # scores in memory at a time: 48 MB


class Scorer(Protocol):
    """What an evaluation knows of a recommender; see `recommender.Recommender`."""

    def score(self, histories: Playlists, candidates: Playlists | None) -> np.ndarray:
        """(positions of candidates,) scores, or a new array (histories, tracks) of all tracks."""


def ranked(recommender: Scorer, histories: Playlists, rows: np.ndarray, k: int) -> np.ndarray:
    """The k tracks of highest score for each history, without its own tracks.

    Args:
        recommender: its scores; higher is better.
        histories: one track or more in each.
        rows: (candidates,) distinct rows of the catalogue; of equal scores, the earlier is first.
        k: length of the lists.

    Returns:
        (histories, k) int64 rows of the catalogue, the best first; -1 where no more are left.
    """
    tracks = int(max(rows.max(), histories.tracks.max(initial=0))) + 1
    column = np.full(tracks, -1, np.int64)
    column[rows] = np.arange(len(rows))
    found = np.full((len(histories), k), -1, np.int64)
    size = max(1, CELLS // tracks)
    for start in range(0, len(histories), size):
        some = np.arange(start, min(start + size, len(histories)))
        part = histories.take(some)
        scores = recommender.score(part, None)[:, rows]
        own = column[part.tracks]
        scores[part.owners[own >= 0], own[own >= 0]] = -np.inf
        best = highest(scores, k)
        found[some, : best.shape[1]] = np.where(best < 0, -1, rows[best])
    return found


def highest(scores: np.ndarray, k: int) -> np.ndarray:
    """The columns of highest score of each row.

    Args:
        scores: (rows, columns); minus infinity for excluded columns, never NaN.
        k: columns per row.

    Returns:
        (rows, at most k) int64, the highest first, of equal ones the lower column first; -1 for
        scores of minus infinity.
    """
    width = scores.shape[1]
    k = min(k, width)
    values, columns = (t.numpy() for t in torch.from_numpy(scores).topk(min(k + 1, width), dim=1))
    excluded = np.isneginf(values)
    found = np.where(excluded, -1, columns)[:, :k]
    # topk leaves the order of equal scores open
    ties = ((values[:, 1:] == values[:, :-1]) & ~excluded[:, 1:]).any(1)
    for row in np.flatnonzero(ties):
        found[row] = _highest_of_ties(scores[row], k, values[row, k - 1])
    return found


def _highest_of_ties(scores: np.ndarray, k: int, lowest: float) -> np.ndarray:
    """`highest` of one row (columns,), whose k-th score is `lowest`."""
    above = np.flatnonzero(scores > lowest)
    level = np.flatnonzero(scores == lowest)[: k - len(above)] if lowest > -np.inf else above[:0]
    columns = np.concatenate([above, level])
    found = np.full(k, -1)
    found[: len(columns)] = columns[np.lexsort((columns, -scores[columns]))]
    return found
