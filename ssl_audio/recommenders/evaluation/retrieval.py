"""Next-session recommendation: M2GRL, sections 4, 5.1 and A.3.

A user's last session is what is to be found, from the sessions before it: each item of those is a
trigger, items near the triggers are the candidates, and the best 50 are compared with the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists

HELD_OUT, MOST_HELD_OUT = 0.2, 10  # of a user's only session
CELLS = 20_000_000  # scores at a time, 80 MB

ScoreFunction = Callable[[Playlists], np.ndarray]


@dataclass(frozen=True)
class RetrievalTask:
    """What is asked, a playlist for each user of the task.

    Attributes:
        seen: the user's whole history, oldest first: the triggers, which are never recommended.
        truth: the items to find, each once, none of them seen before.
    """

    seen: Playlists
    truth: Playlists

    def __len__(self) -> int:
        return len(self.truth)


def next_session_task(sessions: Playlists, owners: np.ndarray) -> tuple[Playlists, RetrievalTask]:
    """Hold out what each user did last.

    The last of several sessions; of an only session, its last fifth, 1 to 10 items (a session of
    one item is only trained on). An item that the user's history has already is no truth, for it
    is never recommended; a user without any other is in the training part only.

    Args:
        sessions: each user's in the order of time.
        owners: (sessions,) the user of each.

    Returns:
        The sessions to train on, and the task, its users in the order of `owners`' values.
    """
    by_user = np.argsort(owners, kind="stable")
    sessions, owners = sessions.take(by_user), owners[by_user]
    users, user, count = np.unique(owners, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    held = np.zeros(len(sessions), np.int64)  # positions at the end of each session
    held[ends - 1] = sessions.lengths[ends - 1]
    only = np.flatnonzero(count[user] == 1)
    held[only] = _of_only_session(sessions.lengths[only])

    left = np.repeat(sessions.offsets[1:], sessions.lengths) - np.arange(len(sessions.tracks))
    out = left <= np.repeat(held, sessions.lengths)
    whole = sessions.lengths > held
    train = sessions.keep(~out).take(whole)
    names = [str(name) for name in users.tolist()]
    user_ends = np.concatenate([[0], sessions.offsets[ends]])
    everything = Playlists(sessions.tracks, user_ends, names)
    seen, truth = everything.keep(~out), _unseen_once(everything, out)
    asked = np.flatnonzero((truth.lengths > 0) & (seen.lengths > 0))
    return train, RetrievalTask(seen.take(asked), truth.take(asked))


def _of_only_session(lengths: np.ndarray) -> np.ndarray:
    held = np.clip(np.round(HELD_OUT * lengths), 1, MOST_HELD_OUT).astype(np.int64)
    return np.where(lengths > 1, held, 0)


def _unseen_once(everything: Playlists, out: np.ndarray) -> Playlists:
    """The positions of a mask whose item is its playlist's first of that item."""
    items = int(everything.tracks.max(initial=0)) + 1
    key = everything.owners.astype(np.int64) * items + everything.tracks
    first = np.zeros(len(key), bool)
    first[np.unique(key, return_index=True)[1]] = True
    return everything.keep(out & first)


def retrieve(vectors: np.ndarray, task: RetrievalTask, k: int = 50) -> np.ndarray:
    """The items of greatest inner product with the sum of each user's triggers, by exact search.

    Args:
        vectors: (items, dimensions). A row of zeros is an item that is not known, and comes last.
        task: see there.
        k: how many.

    Returns:
        (users, k) rows of items, the best first; see `retrieve_by`.

    Raises:
        SslAudioError: a vector that is not finite.
    """
    vectors = np.asarray(vectors, np.float32)
    if not np.isfinite(vectors).all():
        raise SslAudioError("vectors that are not finite: train with a lower rate")
    unknown = ~vectors.any(1)

    def score(triggers: Playlists) -> np.ndarray:
        near = np.add.reduceat(vectors[triggers.tracks], triggers.offsets[:-1], axis=0)
        scores = near @ vectors.T
        scores[:, unknown] = np.finfo(np.float32).min
        return scores

    return retrieve_by(score, task, k)


def retrieve_by(score: ScoreFunction, task: RetrievalTask, k: int = 50) -> np.ndarray:
    """The items that a function scores highest for each user, without those that the user has seen.

    Args:
        score: from some users' triggers, a playlist of one item or more each, (users, items).
        task: see there.
        k: how many.

    Returns:
        (users, k) int64 rows of items, the best first, of equal ones the lower row first; -1 where
        fewer than k are left.
    """
    found = np.full((len(task), k), -1, np.int64)
    start = 0
    users = 1  # the first user tells how many items there are
    while start < len(task):
        chosen = np.arange(start, min(start + users, len(task)))
        seen = task.seen.take(chosen)
        scores = np.array(score(seen), np.float32)
        scores[seen.owners, seen.tracks] = -np.inf
        best = highest(scores, k)
        found[chosen, : best.shape[1]] = best
        start += len(chosen)
        users = max(1, CELLS // scores.shape[1])
    return found


def highest(scores: np.ndarray, k: int) -> np.ndarray:
    """The best columns of each row.

    Args:
        scores: (rows, columns), minus infinity for what is not to be found; none is NaN.
        k: how many.

    Returns:
        (rows, at most k) int64, the highest first, of equal ones the lower column first; -1 for
        scores of minus infinity.
    """
    k = min(k, scores.shape[1])
    lowest = np.partition(scores, -k, axis=1)[:, -k, None]
    above, level = scores > lowest, scores == lowest
    level &= np.cumsum(level, axis=1) <= k - above.sum(1, keepdims=True)
    columns = np.nonzero(above | level)[1].reshape(len(scores), k)
    values = np.take_along_axis(scores, columns, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    columns = np.where(np.isneginf(values), -1, columns)
    return np.take_along_axis(columns, order, 1)


def f1_of(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """2 P R / (P + R), 0 where both are 0; of arrays, one by one.

    F1@K of M2GRL's section A.3 is that of the mean precision and the mean recall.
    """
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


@dataclass(frozen=True)
class Hits:
    """Figures at K, a value for each user, so that intervals can be made; all 0 to 1.

    With P the K items recommended to a user and G the user's truth:

    Attributes:
        precision: |P and G| / K.
        recall: |P and G| / |G|.
        hit: 1 where |P and G| > 0, else 0.
    """

    precision: np.ndarray
    recall: np.ndarray
    hit: np.ndarray

    def columns(self) -> dict[str, np.ndarray]:
        """The figures that each user has, (users,) each."""
        return {"hit_rate": self.hit, "recall": self.recall, "precision": self.precision}


def measure_hits(found: np.ndarray, task: RetrievalTask) -> Hits:
    """Compare recommendations (users, K), each row without repeats, -1 for none, with the truth."""
    truth = task.truth
    items = max(int(truth.tracks.max(initial=0)), int(found.max(initial=0))) + 1
    wanted = truth.owners.astype(np.int64) * items + truth.tracks
    given = np.arange(len(found))[:, None] * items + found
    hits = (np.isin(given, wanted) & (found >= 0)).sum(1)
    return Hits(hits / found.shape[1], hits / truth.lengths, (hits > 0).astype(np.float64))
