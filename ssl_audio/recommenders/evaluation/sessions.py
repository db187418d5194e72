"""Next-session recommendation: M2GRL, sections 4, 5.1 and A.3; or leave-one-out by time.

The items of a user's last session, or the last item alone, are predicted from those before.
"""

from dataclasses import dataclass

import numpy as np

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.pairs import among, first_mentions, pair_keys

HELD_OUT_SHARE, MAX_HELD_OUT = 0.2, 10  # of a user's only session


@dataclass(frozen=True)
class NextSessionTask:
    """One query per user.

    Attributes:
        seen: the user's history, oldest first; its items are never recommended.
        truth: the items to find, each once, none of them in the history.
    """

    seen: Playlists
    truth: Playlists

    def __len__(self) -> int:
        return len(self.truth)


def next_session_task(
    sessions: Playlists, owners: np.ndarray, last_item: bool = False
) -> tuple[Playlists, NextSessionTask]:
    """Hold out each user's last session, or last item.

    Of a user with one session, its last fifth is held out, 1 to 10 items; a session of one item is
    only trained on. Users without a new item in the held-out part are only trained on.

    Args:
        sessions: those of a user in order of time.
        owners: (sessions,) the user of each.
        last_item: hold out the last item alone, of a session with others or with none.

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
    lengths = sessions.lengths[only]
    last_part = np.clip(np.round(HELD_OUT_SHARE * lengths), 1, MAX_HELD_OUT).astype(np.int64)
    held[only] = np.where(lengths > 1, last_part, 0)
    if last_item:
        held = np.minimum(held, 1)

    left = np.repeat(sessions.lengths, sessions.lengths) - sessions.places
    out = left <= np.repeat(held, sessions.lengths)
    train = sessions.keep(~out).take(sessions.lengths > held)
    names = [str(name) for name in users.tolist()]
    whole = Playlists(sessions.tracks, np.concatenate([[0], sessions.offsets[ends]]), names)
    items = int(whole.tracks.max(initial=0)) + 1
    seen, truth = whole.keep(~out), whole.keep(out & first_mentions(whole, items))
    usable = np.flatnonzero((truth.lengths > 0) & (seen.lengths > 0))
    return train, NextSessionTask(seen.take(usable), truth.take(usable))


def hit_figures(found: np.ndarray, task: NextSessionTask) -> dict[str, np.ndarray]:
    """Metrics of one system, (users,) each, 0 to 1.

    With P the K items recommended to a user and G the user's truth: hit_rate is 1 where P and G
    share an item, else 0; recall = |P and G| / |G|; precision = |P and G| / K.

    `found` is (users, K) items without repeats, -1 for none.
    """
    truth = task.truth
    items = int(max(truth.tracks.max(initial=0), found.max(initial=0))) + 1
    keys = np.arange(len(found))[:, None] * items + found
    hits = (among(keys, np.sort(pair_keys(truth, items))) & (found >= 0)).sum(1)
    return {
        "hit_rate": (hits > 0).astype(np.float64),
        "recall": hits / truth.lengths,
        "precision": hits / found.shape[1],
    }


def f1_of(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """2 P R / (P + R), 0 where both are 0, elementwise.

    M2GRL's F1@K (section A.3) is that of the mean precision and the mean recall.
    """
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)
