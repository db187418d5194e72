"""The track graph: an edge between two tracks that many playlists share.

MUSIG, section 3.1: the weight of an edge is the number of distinct playlists with both tracks, and
edges below a weight of 10 are dropped. With X the (playlists, tracks) matrix of zeros and ones, the
weights are the off-diagonal entries of X^T X. The full product has some fifty times as many entries
as pass the threshold, so it is computed row by row and only entries that pass are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse

from ssl_audio.io.compiled import compiled
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.parallel import available_processors, in_order
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.csr import bisect_rows, offsets_of, owners_of

BLOCKS = 64  # of rows with equal work, so that all processors finish at about the same time


@dataclass(frozen=True)
class TrackGraph:
    """An undirected weighted graph without self-loops, as compressed rows (`csr`).

    Attributes:
        offsets: (tracks + 1,) int64, where each track's neighbours start.
        neighbours: (2 edges,) int32: each edge in both directions, ascending within a row.
        weights: (2 edges,) int32, 1 or more.
    """

    offsets: np.ndarray
    neighbours: np.ndarray
    weights: np.ndarray

    @classmethod
    def from_edges(cls, pairs: np.ndarray, tracks: int) -> TrackGraph:
        """A graph of given edges; the weight of an edge is how often it is given.

        Args:
            pairs: (edges, 2) different rows of the catalogue in either order.
            tracks: number of tracks in the catalogue, with and without edges.
        """
        low, high = np.sort(np.asarray(pairs, np.int64).reshape(-1, 2), axis=1).T
        ones = np.ones(len(low), np.int32)
        return cls._symmetric(sparse.coo_array((ones, (low, high)), (tracks, tracks)).tocsr())

    @classmethod
    def _symmetric(cls, upper: sparse.csr_array) -> TrackGraph:
        """The graph of an upper triangular matrix of weights."""
        both = upper + upper.T.tocsr()
        both.sort_indices()
        return cls(
            both.indptr.astype(np.int64), both.indices.astype(np.int32), both.data.astype(np.int32)
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, track: int) -> np.ndarray:
        """(degree,) its neighbours, ascending; a view."""
        return self.neighbours[self.offsets[track] : self.offsets[track + 1]]

    @property
    def degree(self) -> np.ndarray:
        """(tracks,) int64, the number of neighbours of each track."""
        return np.diff(self.offsets)

    @property
    def edges(self) -> int:
        """The number of edges, each counted once."""
        return len(self.neighbours) // 2

    def upper(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(edges,) lower track, (edges,) higher track and (edges,) weight: each edge once."""
        left = owners_of(self.offsets)
        once = left < self.neighbours
        return left[once], self.neighbours[once], self.weights[once]

    def has_edges(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """(pairs,) bool, True where a pair of tracks has an edge; O(log degree) for each pair."""
        found = bisect_rows(self.offsets, left, lambda at: self.neighbours[at] < right)
        positions = self.offsets[left] + found
        inside = positions < self.offsets[left + 1]
        inside[inside] = self.neighbours[positions[inside]] == right[inside]
        return inside


def with_edges(graph: TrackGraph) -> TrackGraph:
    """A graph that has an edge.

    Raises:
        SslAudioError: it has none.
    """
    if not graph.edges:
        raise SslAudioError(
            "the track graph has no edge: lower graph.min_weight=, or of MovieLens, give longer "
            "sessions"
        )
    return graph


def build_graph(playlists: Playlists, tracks: int, min_weight: int) -> TrackGraph:
    """The graph of tracks that share playlists: MUSIG, section 3.1.

    Time is proportional to the number of pairs of tracks in all playlists, about
    sum(length^2 / 2); memory to the number of positions and of edges.

    Args:
        playlists: repeats of a track within one count once.
        min_weight: min number of playlists that two tracks of an edge share, 1 or more.

    Raises:
        SslAudioError: no edge reaches the weight.
    """
    sets = _track_sets(playlists, tracks)

    def edges(rows: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        return _edge_rows(*sets, tracks, min_weight, *rows)

    blocks = in_order(_equal_work(sets), edges, available_processors(), 2)
    degrees, neighbours, weights, heaviest = zip(*blocks, strict=True)
    upper = np.concatenate(weights), np.concatenate(neighbours), offsets_of(np.concatenate(degrees))
    if not len(upper[0]):
        raise SslAudioError(_no_edges(max(heaviest), min_weight))
    return TrackGraph._symmetric(sparse.csr_array(upper, (tracks, tracks)))


def _no_edges(heaviest: int, min_weight: int) -> str:
    if not heaviest:
        return "no playlist has two tracks, so the graph has no edges: give longer playlists"
    return (
        f"no two tracks are together in {min_weight} playlists, the most frequent pair in "
        f"{heaviest}: lower graph.min_weight"
    )


class _TrackSets(NamedTuple):
    """Playlists as sorted sets of tracks, and the positions of each track in them.

    Attributes:
        flat: (positions,) uint32 tracks of one set after the other, ascending in each. Unsigned,
            so that numba does not check for negative indices.
        starts: (tracks + 1,) int64, where those of each track start in the next two.
        positions: (positions,) int64 positions in `flat` of each track in turn.
        ends: (positions,) int64, where the set of that position ends in `flat`.
    """

    flat: np.ndarray
    starts: np.ndarray
    positions: np.ndarray
    ends: np.ndarray


def _track_sets(playlists: Playlists, tracks: int) -> _TrackSets:
    sets = playlists.distinct(tracks)
    shape, positions = (len(sets), tracks), np.arange(len(sets.tracks))
    by_track = sparse.csr_array((positions, sets.tracks, sets.offsets), shape).T.tocsr()
    return _TrackSets(
        sets.tracks.astype(np.uint32), by_track.indptr.astype(np.int64), by_track.data,
        sets.offsets[1:][by_track.indices],
    )  # fmt: skip


def _equal_work(sets: _TrackSets) -> list[tuple[int, int]]:
    """Blocks of rows (first, end) with about as many pairs of tracks in each."""
    done = offsets_of(sets.ends - sets.positions)[sets.starts]
    shares = np.linspace(0, done[-1], BLOCKS + 1)[1:-1]
    rows = len(sets.starts) - 1
    bounds = np.unique(np.concatenate([[0], np.searchsorted(done, shares), [rows]]))
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))


@compiled()
def _edge_rows(
    flat: np.ndarray,
    starts: np.ndarray,
    positions: np.ndarray,
    ends: np.ndarray,
    tracks: int,
    min_weight: int,
    first: int,
    end: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Rows `first` to `end` of the upper triangle: degrees, neighbours ascending, weights; and the
    highest weight, also below `min_weight`.

    The weights of one row are counted in an array of all tracks. If most of its entries are used,
    the array is scanned; if few are, the used ones are listed, so that the time does not grow with
    the catalogue.
    """
    counts = np.zeros(tracks, np.uint32)
    touched = np.empty(tracks + 1, np.uint32)  # the entry after the last is written too
    degrees = np.zeros(end - first, np.int64)
    neighbours, weights = np.empty(1024, np.int32), np.empty(1024, np.int32)
    kept, heaviest = 0, 0
    for track in range(first, end):
        pairs = 0
        for k in range(starts[track], starts[track + 1]):
            pairs += ends[k] - positions[k] - 1
        before, room = kept, kept + min(pairs // min_weight, tracks - track)
        if room > len(neighbours):
            more, heavier = np.empty(2 * room, np.int32), np.empty(2 * room, np.int32)
            more[:kept], heavier[:kept] = neighbours[:kept], weights[:kept]
            neighbours, weights = more, heavier
        scanned = 4 * pairs > tracks - track
        used = 0
        for k in range(starts[track], starts[track + 1]):
            for other in flat[positions[k] + 1 : ends[k]]:  # tracks above `track`
                if not scanned:
                    touched[used] = other
                    used += counts[other] == 0
                counts[other] += 1
        if scanned:
            for other in range(track + 1, tracks):
                heaviest = max(heaviest, counts[other])
                if counts[other] >= min_weight:
                    neighbours[kept], weights[kept] = other, counts[other]
                    kept += 1
            counts[track + 1 :] = 0
        else:
            for other in touched[:used]:
                heaviest = max(heaviest, counts[other])
                if counts[other] >= min_weight:
                    neighbours[kept] = other
                    kept += 1
            neighbours[before:kept].sort()
            for k in range(before, kept):
                weights[k] = counts[neighbours[k]]
            for other in touched[:used]:
                counts[other] = 0
        degrees[track - first] = kept - before
    return degrees, neighbours[:kept].copy(), weights[:kept].copy(), heaviest
