"""From timed events to node sequences: M2GRL, sections 3.1 and A.1, and the graphs of its figure 1.

A session is a playlist: what one user took in one sitting, in order.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.sparse import csr_matrix

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists

YEAR = 365 * 86_400.0


@dataclass(frozen=True)
class Events:
    """What users did, a row each, in any order.

    Attributes:
        user: (events,) whole numbers.
        item: (events,) rows of the catalogue.
        time: (events,) seconds, of any start.
        stay: (events,) seconds that the item was open, NaN where unknown; None: unknown for all.
        rating: (events,), NaN where unknown; None: unknown for all.
        visit: (events,) whole numbers that change where a user closed and opened the application;
            None: unknown, so that only idle time splits.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    stay: np.ndarray | None = None
    rating: np.ndarray | None = None
    visit: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("item", "time", "stay", "rating", "visit"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.user):
                raise ValueError(f"{len(column)} of {name} for {len(self.user)} events")

    def __len__(self) -> int:
        return len(self.user)

    def take(self, chosen: np.ndarray) -> Events:
        """Some of the events, in the order given: row numbers, or a mask (events,)."""
        columns = (self.user, self.item, self.time, self.stay, self.rating, self.visit)
        return Events(*(None if c is None else c[chosen] for c in columns))  # type: ignore[arg-type]


@dataclass(frozen=True)
class SessionRules:
    """What counts, and where a session ends. None: that rule does not apply.

    M2GRL's own data (Taobao) is cut with least_stay 2, idle 3600 and merge 1800 (A.1).

    Attributes:
        least_stay: seconds; an item that was open for less is dropped; where unknown, it is kept.
        idle: seconds between two events' times that split.
        merge: seconds; sessions that are parted by a shorter gap, as where a visit ends and another
            begins, are one again.
        longest: positions; a longer session is cut into pieces of about equal length.
        least_rating: an event of a lower rating is dropped; where unknown, it is kept.
    """

    least_stay: float | None = None
    idle: float | None = None
    merge: float | None = None
    longest: int | None = None
    least_rating: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            kinds = int if name == "longest" else int | float
            if value is not None and not (isinstance(value, kinds) and value > 0):
                number = "a whole number" if name == "longest" else "a number"
                raise SslAudioError(f"sessions.{name}={value}: {number} above 0, or null for none")


MOVIELENS = SessionRules(idle=YEAR, longest=50, least_rating=3)  # the paper's


@dataclass(frozen=True)
class Sessions:
    """Sessions, by user and then by time.

    Attributes:
        playlists: of items; no item twice in a row.
        owners: (sessions,) the user of each.
        times: (positions,) seconds, when each item was taken.
    """

    playlists: Playlists
    owners: np.ndarray
    times: np.ndarray


def make_sessions(events: Events, rules: SessionRules) -> Sessions:
    """Cut events into sessions.

    In this order: events that do not count are dropped; the rest are sorted by user and time (those
    of one time stay as given); repeats of an item within a session are one; long ones are cut.

    Raises:
        SslAudioError: no event is left.
    """
    kept = events.take(_counts(events, rules))
    if not len(kept):
        raise SslAudioError(f"the rules of sessions= keep none of {len(events)} events: relax them")
    kept = kept.take(np.lexsort((kept.time, kept.user)))
    begins = _begins(kept, rules)
    wanted = begins | _changes(kept.item)
    kept, begins = kept.take(wanted), begins[wanted]
    begins = _cut(begins, rules.longest)
    starts = np.flatnonzero(begins)
    offsets = np.append(starts, len(kept)).astype(np.int64)
    owners = kept.user[starts]
    playlists = Playlists(kept.item.astype(np.int32), offsets, _names(owners))
    return Sessions(playlists, owners, kept.time)


def _counts(events: Events, rules: SessionRules) -> np.ndarray:
    """(events,) whether each counts; a comparison with NaN, which is unknown, is false."""
    wanted = np.ones(len(events), bool)
    if rules.least_stay is not None and events.stay is not None:
        wanted &= ~(events.stay < rules.least_stay)
    if rules.least_rating is not None and events.rating is not None:
        wanted &= ~(events.rating < rules.least_rating)
    return wanted


def _begins(events: Events, rules: SessionRules) -> np.ndarray:
    """(events,) whether a session begins there, of events in order."""
    gap = np.diff(events.time, prepend=events.time[:1])
    split = np.zeros(len(events), bool)
    if events.visit is not None:
        split |= _changes(events.visit)
    if rules.idle is not None:
        split |= gap >= rules.idle
    if rules.merge is not None:
        split &= gap >= rules.merge
    return split | _changes(events.user)


def _changes(values: np.ndarray) -> np.ndarray:
    """(n,) whether each differs from the one before it; the first does."""
    return np.concatenate([[True], values[1:] != values[:-1]])[: len(values)]


def _cut(begins: np.ndarray, longest: int | None) -> np.ndarray:
    """Position p of a session of n begins a piece where p * pieces // n grows."""
    if longest is None:
        return begins
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, len(begins)))
    length = np.repeat(lengths, lengths)
    within = np.arange(len(begins)) - np.repeat(starts, lengths)
    piece = within * -(-length // longest) // length
    return begins | _changes(piece)


def _names(owners: np.ndarray) -> list[str]:
    """ "user:0", "user:1", ... for the sessions of each user, which follow one another."""
    first = np.flatnonzero(_changes(owners))
    number = np.arange(len(owners)) - np.repeat(first, np.diff(np.append(first, len(owners))))
    return [f"{user}:{k}" for user, k in zip(owners.tolist(), number.tolist(), strict=True)]


def view_sequences(playlists: Playlists, attribute: np.ndarray | csr_matrix) -> Playlists:
    """The sequences of another view: each item's category, shop, artist, consecutive repeats once.

    An item with several attributes gives them in turn, in the order of the matrix's columns; an
    item with none gives none. A sequence may so become empty; there are as many as before.

    Args:
        playlists: of items.
        attribute: (items,) whole numbers, negative where unknown; or (items, attributes), where
            what is stored and not 0 is what the item has.

    Raises:
        ValueError: fewer rows than items.
    """
    table = _table(attribute)
    if len(playlists.tracks) and playlists.tracks.max() >= table.shape[0]:
        raise ValueError(f"item {playlists.tracks.max()} of {table.shape[0]} with attributes")
    width = np.diff(table.indptr)[playlists.tracks]
    ends = np.concatenate([[0], np.cumsum(width, dtype=np.int64)])
    source = np.repeat(table.indptr[playlists.tracks] - ends[:-1], width) + np.arange(ends[-1])
    values = table.indices[source].astype(np.int32)
    long = Playlists(values, ends[playlists.offsets], playlists.ids)
    return long.keep(_changes(values) | _changes(long.owners))


def _table(attribute: np.ndarray | csr_matrix) -> csr_matrix:
    if isinstance(attribute, np.ndarray):
        rows = np.flatnonzero(attribute >= 0)
        shape = (len(attribute), int(attribute.max(initial=0)) + 1)
        return csr_matrix((np.ones(len(rows), np.int8), (rows, attribute[rows])), shape)
    table = attribute.copy()
    table.eliminate_zeros()
    table.sort_indices()
    return table


def view_graph_edges(playlists: Playlists) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The graph of a view: an undirected edge between consecutive nodes, no self-loops.

    Returns:
        (edges,) source and (edges,) target, source < target, sorted; (edges,) how often.
    """
    tracks = playlists.tracks.astype(np.int64)
    owners = playlists.owners
    pair = (owners[1:] == owners[:-1]) & (tracks[1:] != tracks[:-1])
    low = np.minimum(tracks[1:], tracks[:-1])[pair]
    high = np.maximum(tracks[1:], tracks[:-1])[pair]
    nodes = int(tracks.max(initial=0)) + 1
    edges, counts = np.unique(low * nodes + high, return_counts=True)
    return edges // nodes, edges % nodes, counts
