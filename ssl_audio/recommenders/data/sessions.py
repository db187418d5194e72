"""Sessions from timed events, and node sequences of other views: M2GRL, sections 3.1 and A.1.

A session is stored as a playlist: the items of one user in one sitting, in order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.csr import places_of, row_offsets, run_starts, take_rows
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.grouping import numbered
from ssl_audio.settings.recommend import SessionSettings


@dataclass(frozen=True)
class Events:
    """Ratings, one row each, in any order.

    Attributes:
        user: (events,) integers.
        item: (events,) rows of the catalogue.
        time: (events,) seconds, from any origin.
        rating: (events,).
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    rating: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    def take(self, chosen: np.ndarray) -> Events:
        """Some of the events, in the order given: row numbers, or a mask (events,)."""
        return Events(*(column[chosen] for column in vars(self).values()))


def make_sessions(events: Events, settings: SessionSettings) -> tuple[Playlists, np.ndarray]:
    """Sessions by user and then by time, no item twice in a row; and the user of each, (sessions,).

    Events with a low rating are dropped and the others sorted by user and time (stable); a long gap
    begins a new session; consecutive repeats of an item count once; long sessions are split.

    Raises:
        SslAudioError: no event is left.
    """
    kept = events
    if settings.min_rating is not None:
        kept = events.take(events.rating >= settings.min_rating)
    if not len(kept):
        raise SslAudioError(
            f"sessions.min_rating={settings.min_rating:g} keeps none of {len(events)} ratings: "
            "lower it"
        )
    kept = kept.take(np.lexsort((kept.time, kept.user)))
    begins = run_starts(kept.user)
    if settings.idle is not None:
        begins |= np.diff(kept.time, prepend=kept.time[:1]) >= settings.idle
    once = begins | run_starts(kept.item)
    kept, begins = kept.take(once), begins[once]
    if settings.max_length is not None:
        begins |= _split_starts(begins, settings.max_length)
    offsets = row_offsets(begins)
    owners = kept.user[offsets[:-1]]
    return Playlists(kept.item.astype(np.int32), offsets, numbered(owners.tolist())), owners


def _split_starts(begins: np.ndarray, max_length: int) -> np.ndarray:
    """(events,) True where a part of a session starts: parts of about equal length.

    Position p of a session of n events, in k parts, is in part p * k // n.
    """
    offsets = row_offsets(begins)
    length = np.repeat(np.diff(offsets), np.diff(offsets))
    return run_starts(places_of(offsets) * -(-length // max_length) // length)


def view_sequences(playlists: Playlists, attribute: np.ndarray | csr_matrix) -> Playlists:
    """Playlists with each item replaced by its attributes (category, artist, ...).

    Consecutive repeats count once. Several attributes of an item follow in the order of the
    matrix's columns; an item without one is left out, so that a playlist may become empty.

    Args:
        playlists: of items.
        attribute: (items,) integers, negative for none; or (items, attributes), non-zero where an
            item has an attribute.
    """
    table = _table(attribute)
    positions, offsets = take_rows(table.indptr, playlists.tracks)
    values = table.indices[positions].astype(np.int32)
    long = Playlists(values, offsets[playlists.offsets], playlists.ids)
    return long.keep(run_starts(values) | run_starts(long.owners))


def _table(attribute: np.ndarray | csr_matrix) -> csr_matrix:
    if isinstance(attribute, np.ndarray):
        rows = np.flatnonzero(attribute >= 0)
        shape = (len(attribute), int(attribute.max(initial=0)) + 1)
        return csr_matrix((np.ones(len(rows), np.int8), (rows, attribute[rows])), shape)
    table = attribute.copy()
    table.eliminate_zeros()
    table.sort_indices()
    return table


def view_graph(playlists: Playlists, nodes: int) -> TrackGraph:
    """Edges between consecutive nodes of a view, weighted by their frequency (A.1)."""
    tracks, owners = playlists.tracks, playlists.owners
    pair = (owners[1:] == owners[:-1]) & (tracks[1:] != tracks[:-1])
    return TrackGraph.from_edges(np.stack([tracks[:-1][pair], tracks[1:][pair]], axis=1), nodes)
