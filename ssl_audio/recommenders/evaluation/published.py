"""Protocols of sequential recommendation as published, to compare figures with those of papers.

SASRec (Kang and McAuley 2018, "Self-attentive sequential recommendation", section IV): each user's
last item is ranked among 100 random items that the user has not had. GRU4Rec (Hidasi et al. 2016,
"Session-based recommendations with recurrent neural networks", section 4): after each item of a
test session, the next one is ranked among all items, from the session's items alone.

An item is ranked after all others of equal score. Sampled metrics can order systems differently
than a full ranking does (Krichene and Rendle 2020): they are for such comparisons alone.
"""

from __future__ import annotations

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists, playlists_of
from ssl_audio.recommenders.data.pairs import among, pair_keys
from ssl_audio.recommenders.evaluation.ranking import CELLS, Scorer
from ssl_audio.recommenders.evaluation.sessions import NextSessionTask

NEGATIVES, SAMPLED_K = 100, 10  # SASRec
NEXT_K = 20  # GRU4Rec


def sampled_candidates(task: NextSessionTask, counts: np.ndarray, seed: int) -> Playlists:
    """For each user, the first item to find, then `NEGATIVES` that the user has not had.

    Negatives are drawn uniformly, with replacement, from the items of training.

    Args:
        task: one item to find for each user (leave-one-out).
        counts: (items,) occurrences in training.

    Raises:
        SslAudioError: a user has had all items.
    """
    items, known = len(counts), np.flatnonzero(counts)
    held = np.sort(np.concatenate([pair_keys(task.seen, items), pair_keys(task.truth, items)]))
    users = np.arange(len(task))
    if (np.bincount(np.unique(held[among(held % items, known)]) // items) >= len(known)).any():
        raise SslAudioError("a user has had all items of training: there is none to compare with")
    rng = np.random.default_rng(seed)
    drawn = known[rng.integers(len(known), size=(len(task), NEGATIVES))]
    while (again := among(users[:, None] * items + drawn, held)).any():
        drawn[again] = known[rng.integers(len(known), size=int(again.sum()))]
    first = task.truth.tracks[task.truth.offsets[:-1]]
    rows = np.column_stack([first, drawn]).astype(np.int32)
    offsets = np.arange(len(task) + 1) * rows.shape[1]
    return Playlists(rows.ravel(), offsets, task.truth.ids)


def sampled_figures(
    task: NextSessionTask, candidates: Playlists, recommender: Scorer
) -> dict[str, np.ndarray]:
    """HR@10 and NDCG@10 among the candidates of `sampled_candidates`, (users,) each: with r the
    item's rank from 0, 1 and 1 / log2(r + 2) if r < 10, else 0."""
    scores = recommender.score(task.seen, candidates).reshape(len(task), -1)
    ranks = (scores[:, 1:] >= scores[:, :1]).sum(1)
    found = ranks < SAMPLED_K
    return {
        f"sampled_hr@{SAMPLED_K}": found.astype(np.float64),
        f"sampled_ndcg@{SAMPLED_K}": np.where(found, 1 / np.log2(ranks + 2.0), 0.0),
    }


def next_items(task: NextSessionTask, counts: np.ndarray) -> tuple[Playlists, np.ndarray]:
    """Every beginning of the held-out sessions, and the item that follows each.

    Items that are in no training session are left out, as in GRU4Rec.

    Args:
        task: of held-out sessions, whose items are in order.
        counts: (items,) occurrences in training.

    Raises:
        SslAudioError: no session has two items.
    """
    sessions = task.truth.keep(counts[task.truth.tracks] > 0)
    lists = [sessions[k].tolist() for k in range(len(sessions))]
    cuts = [(one[:end], one[end]) for one in lists for end in range(1, len(one))]
    if len(cuts) < 2:
        raise SslAudioError(
            "GRU4Rec's protocol needs held-out sessions of two items: leave published= out"
        )
    return playlists_of([start for start, _ in cuts]), np.array([item for _, item in cuts])


def next_item_figures(
    starts: Playlists, following: np.ndarray, items: int, recommender: Scorer
) -> dict[str, np.ndarray]:
    """Recall@20 and MRR@20 over all items, those of the beginning too, (positions,) each: with r
    the rank from 1 of the item that follows, 1 and 1 / r if r <= 20, else 0."""
    ranks = np.zeros(len(starts), np.int64)
    size = max(1, CELLS // items)
    for first in range(0, len(starts), size):
        some = np.arange(first, min(first + size, len(starts)))
        scores = recommender.score(starts.take(some), None)
        own = scores[np.arange(len(some)), following[some]]
        ranks[some] = (scores >= own[:, None]).sum(1)
    found = ranks <= NEXT_K
    return {
        f"next_recall@{NEXT_K}": found.astype(np.float64),
        f"next_mrr@{NEXT_K}": np.where(found, 1.0 / ranks, 0.0),
    }
