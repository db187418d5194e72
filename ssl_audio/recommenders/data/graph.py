"""The track graph: an edge between two tracks that many playlists have in common.

MUSIG, section 3.1: the weight of an edge is the number of distinct playlists with both tracks, and
edges below a weight of 10 are left out. That is the product of the (tracks x playlists) matrix of
zeros and ones with its own transpose, without the diagonal, cut at a threshold. The whole product
has some fifty times the entries that pass the threshold, so it is made a row at a time, and of a
row only what passes is kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.parallel import available_processors, threaded
from ssl_audio.recommenders.data.collection import Playlists

LEAST_WEIGHT = 10  # playlists in common: MUSIG, section 3.1
BLOCKS = 64  # of rows, with as many pairs in each: enough for a few cores to end together
TOLD = (1, 2, 3, 5, 10, 20, 50, 100)  # thresholds that the error of an empty graph lists


@dataclass(frozen=True)
class TrackGraph:
    """An undirected graph without self-loops, in compressed rows.

    Attributes:
        offsets: (tracks + 1,) int64, where each track's neighbours start.
        neighbours: (2 edges,) int32: each edge in both directions, ascending within a row.
        weights: (2 edges,) int32: playlists in common, 1 or more.
    """

    offsets: np.ndarray
    neighbours: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        if not self.offsets[-1] == len(self.neighbours) == len(self.weights):
            raise ValueError(
                f"offsets up to {self.offsets[-1]}, {len(self.neighbours)} neighbours, "
                f"{len(self.weights)} weights"
            )

    @classmethod
    def from_edges(
        cls, pairs: np.ndarray, tracks: int, weights: np.ndarray | None = None
    ) -> TrackGraph:
        """A graph of given edges.

        Args:
            pairs: (edges, 2) rows of the catalogue, either way round; the weights of an edge that
                is there more than once add up.
            tracks: of the catalogue, with and without edges.
            weights: (edges,) 1 or more; None: 1 each.

        Raises:
            ValueError: a track outside the catalogue, an edge from a track to itself, or a weight
                below 1.
        """
        left, right = np.asarray(pairs, np.int64).reshape(-1, 2).T
        values = np.ones(len(left), np.int32) if weights is None else np.asarray(weights, np.int32)
        _within(left, tracks)
        _within(right, tracks)
        if (left == right).any() or (values < 1).any():
            raise ValueError("an edge from a track to itself, or with a weight below 1")
        upper = sparse.coo_array(
            (values, (np.minimum(left, right), np.maximum(left, right))), (tracks, tracks)
        )
        return cls._symmetric(upper.tocsr())

    @classmethod
    def _symmetric(cls, upper: sparse.csr_array) -> TrackGraph:
        """From the upper triangle; rows need not be sorted."""
        lower = upper.T.tocsr()  # a transposition sorts the rows
        both = lower.T.tocsr() + lower
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
        """(tracks,) int64 neighbours of each."""
        return np.diff(self.offsets)

    @property
    def edges(self) -> int:
        """How many, each counted once."""
        return len(self.neighbours) // 2

    def upper(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(edges,) lower track, (edges,) higher track and (edges,) weight: each edge once."""
        left = np.repeat(np.arange(len(self), dtype=np.int32), self.degree)
        once = left < self.neighbours
        return left[once], self.neighbours[once], self.weights[once]

    def has_edges(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """(pairs,) bool: whether each pair of tracks has an edge; in O(log degree) for each."""
        found = self.bisect(left, lambda places: self.neighbours[places] < right)
        places = self.offsets[left] + found
        inside = places < self.offsets[left + 1]
        # a row's end may be the end of the array, where there is nothing to compare with
        inside[inside] = self.neighbours[places[inside]] == right[inside]
        return inside

    def bisect(self, rows: np.ndarray, below: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """(rows,) how many of each row's first neighbours are `below`: all rows bisected at once.

        Args:
            rows: (rows,) tracks.
            below: from places (rows,) in `neighbours` to (rows,) bool; in a row it holds up to
                some place and not after it.
        """
        starts = self.offsets[rows]
        counts = self.offsets[rows + 1] - starts
        found = np.zeros_like(starts)
        for bit in reversed(range(int(counts.max(initial=0)).bit_length())):
            more = found + (1 << bit)
            # beyond a row's end may be beyond the array's: there it looks at the last place
            places = np.minimum(starts + more, len(self.neighbours)) - 1
            found = np.where((more <= counts) & below(places), more, found)
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the three arrays as one safetensors file, atomically."""
        from safetensors.numpy import save_file

        arrays = {"offsets": self.offsets, "neighbours": self.neighbours, "weights": self.weights}
        with atomic_file(path) as temporary:
            save_file(arrays, temporary)


def load_graph(path: str | os.PathLike[str]) -> TrackGraph:
    """The graph that `TrackGraph.save` wrote.

    Raises:
        SslAudioError: the file is missing, damaged or something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(Path(path))
        return TrackGraph(arrays["offsets"], arrays["neighbours"], arrays["weights"])
    except FileNotFoundError as error:
        raise SslAudioError(f"{path}: no such graph; build it from playlists") from error
    except (OSError, SafetensorError, KeyError, IndexError, ValueError) as error:
        raise SslAudioError(f"{path}: not a whole graph; build it again ({error})") from error


def with_edges(
    graph: TrackGraph,
    new_edges: np.ndarray,
    weights: np.ndarray | None = None,
    tracks: int | None = None,
) -> TrackGraph:
    """The graph with edges added, and with tracks that it did not have.

    Args:
        graph: stays as it is.
        new_edges: (edges, 2) rows of the catalogue; none, (0, 2), only appends tracks. The weight
            of an edge that the graph has already is added to it.
        weights: (edges,) 1 or more; None: 1 each.
        tracks: of the catalogue afterwards; None: as many as before.

    Raises:
        ValueError: as `TrackGraph.from_edges`, or fewer tracks than before.
    """
    tracks = len(graph) if tracks is None else tracks
    if tracks < len(graph):
        raise ValueError(f"{tracks} tracks, and the graph has {len(graph)}")
    added = TrackGraph.from_edges(new_edges, tracks, weights)
    offsets = np.pad(graph.offsets, (0, tracks - len(graph)), mode="edge")
    both = _matrix(graph.weights, graph.neighbours, offsets) + _matrix(
        added.weights, added.neighbours, added.offsets
    )
    return TrackGraph(
        both.indptr.astype(np.int64), both.indices.astype(np.int32), both.data.astype(np.int32)
    )


def _matrix(weights: np.ndarray, columns: np.ndarray, offsets: np.ndarray) -> sparse.csr_array:
    """(tracks, tracks) sparse matrix of the weights."""
    tracks = len(offsets) - 1
    return sparse.csr_array((weights, columns, offsets), (tracks, tracks))


def build_graph(playlists: Playlists, tracks: int, least_weight: int = LEAST_WEIGHT) -> TrackGraph:
    """The graph of tracks that playlists have in common: MUSIG, section 3.1.

    Time grows with the pairs in all playlists, about sum(length^2 / 2); memory with the positions
    and the edges that are kept.

    Args:
        playlists: a track that is in one more than once counts once.
        tracks: of the catalogue.
        least_weight: of an edge, in distinct playlists with both tracks, 1 or more.

    Raises:
        SslAudioError: no edge reaches the weight; the message has how many edges lower weights
            would leave.
        ValueError: a playlist with a track outside the catalogue, or a weight below 1.
    """
    sets = _sets_of(playlists, tracks, least_weight)
    blocks = _by_rows(_edge_rows, sets, tracks, least_weight)
    degrees, neighbours, weights = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    if not len(neighbours):
        raise SslAudioError(_empty(_histogram(sets, tracks, least_weight), least_weight))
    return TrackGraph(*_compiled(_both_ways)(degrees, neighbours, weights))


def edges_by_threshold(
    playlists: Playlists, tracks: int, thresholds: Sequence[int]
) -> dict[int, int]:
    """How many edges the graph would have at each threshold.

    Args:
        playlists, tracks: as for `build_graph`, at whose cost this is.
        thresholds: weights, 1 or more.
    """
    most = max(thresholds)
    return _left(_histogram(_sets_of(playlists, tracks, most), tracks, most), thresholds)


def _left(histogram: np.ndarray, thresholds: Sequence[int]) -> dict[int, int]:
    """Edges at thresholds, from how many have each weight (the last: that weight or more)."""
    return {least: int(histogram[least:].sum()) for least in thresholds}


def _empty(histogram: np.ndarray, least_weight: int) -> str:
    """What to say of a graph without edges."""
    left = _left(histogram, [least for least in TOLD if least < least_weight])
    if not histogram.any():
        return "no playlist has two tracks, so the graph has no edges: give longer playlists"
    told = ", ".join(f"{least} would leave {count:,}" for least, count in left.items())
    return f"no two tracks are together in {least_weight} playlists: of least_weight, {told} edges"


class _Sets(NamedTuple):
    """Playlists as sets of tracks, and where each track is in them.

    Attributes:
        flat: (positions,) uint32 tracks of one playlist after the other, ascending and once in
            each. Unsigned, as numba need not look for negative places.
        starts: (tracks + 1,) int64, where those of each track start in the next two.
        places: (positions,) int64 places in `flat` of each track in turn.
        ends: (positions,) int64 where the playlist of that place ends.
    """

    flat: np.ndarray
    starts: np.ndarray
    places: np.ndarray
    ends: np.ndarray


def _sets_of(playlists: Playlists, tracks: int, least: int) -> _Sets:
    if least < 1:
        raise ValueError(f"a least weight of {least}: 1 or more")
    _within(playlists.tracks, tracks)
    return _Sets(*_compiled(_as_sets)(playlists.tracks, playlists.offsets, tracks))


def _within(rows: np.ndarray, tracks: int) -> None:
    """Refuse rows outside the catalogue."""
    if len(rows) and not 0 <= rows.min() <= rows.max() < tracks:
        raise ValueError(f"a track outside 0 to {tracks - 1}")


def _histogram(sets: _Sets, tracks: int, least: int) -> np.ndarray:
    """(least + 1,) how many edges have each weight below `least`; the last, that or more."""
    return np.sum(_by_rows(_weigh_rows, sets, tracks, least), axis=0)


def _by_rows(count: Callable[..., Any], sets: _Sets, tracks: int, least: int) -> list[Any]:
    """What a function finds in blocks of rows, in order, on as many threads as processors."""
    work = partial(_compiled(count), *sets, tracks, least)
    blocks = threaded(_equal_work(sets), lambda rows: work(*rows), available_processors(), 2)
    return list(blocks)


def _equal_work(sets: _Sets) -> list[tuple[int, int]]:
    """Blocks of rows (first, end) with about as many pairs in each."""
    done = np.concatenate([[0], np.cumsum(sets.ends - sets.places)])[sets.starts]
    shares = np.linspace(0, done[-1], BLOCKS + 1)[1:-1]
    rows = len(sets.starts) - 1
    bounds = np.unique(np.concatenate([[0], np.searchsorted(done, shares), [rows]]))
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))


# --- machine code ---------------------------------------------------------------------------------


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """As machine code that leaves Python's lock to other threads."""
    import numba

    return numba.njit(nogil=True)(function)


def _as_sets(
    tracks: np.ndarray, offsets: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The fields of `_Sets`, by counting alone: to be gone through by track is to be sorted."""
    playlists = len(offsets) - 1
    starts, bounds = np.zeros(count + 1, np.int64), np.zeros(playlists + 1, np.int64)
    owners, once = np.empty(len(tracks), np.int64), np.empty(len(tracks), np.uint32)
    last = np.full(count, -1)
    kept = 0
    for playlist in range(playlists):
        for track in tracks[offsets[playlist] : offsets[playlist + 1]]:
            if last[track] != playlist:
                last[track] = playlist
                owners[kept], once[kept] = playlist, track
                kept += 1
                starts[track + 1] += 1
        bounds[playlist + 1] = kept
    starts[:] = np.cumsum(starts)
    by_track = np.empty(kept, np.int64)
    free = starts[:-1].copy()
    for k in range(kept):
        by_track[free[once[k]]] = owners[k]
        free[once[k]] += 1
    flat, places, ends = once[:kept], np.empty(kept, np.int64), np.empty(kept, np.int64)
    free = bounds[:-1].copy()
    for track in range(count):
        for k in range(starts[track], starts[track + 1]):
            playlist = by_track[k]
            flat[free[playlist]] = track
            places[k], ends[k] = free[playlist], bounds[playlist + 1]
            free[playlist] += 1
    return flat, starts, places, ends


def _edge_rows(
    flat: np.ndarray,
    starts: np.ndarray,
    places: np.ndarray,
    ends: np.ndarray,
    tracks: int,
    least: int,
    first: int,
    end: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows `first` to `end` of the upper triangle: degrees, neighbours ascending, weights.

    A row is counted in one array. Where many of its places are counted in, all are looked at
    afterwards; where few are, they are noted, so that a large catalogue costs no more than its
    playlists.
    """
    counts = np.zeros(tracks, np.uint32)
    touched = np.empty(tracks + 1, np.uint32)  # one to spare for the write that does not count
    degrees = np.zeros(end - first, np.int64)
    neighbours, weights = np.empty(1024, np.int32), np.empty(1024, np.int32)
    kept = 0
    for track in range(first, end):
        pairs = 0
        for k in range(starts[track], starts[track + 1]):
            pairs += ends[k] - places[k] - 1
        before, most = kept, kept + min(pairs // least, tracks - track)
        if most > len(neighbours):
            more, heavier = np.empty(2 * most, np.int32), np.empty(2 * most, np.int32)
            more[:kept], heavier[:kept] = neighbours[:kept], weights[:kept]
            neighbours, weights = more, heavier
        if 4 * pairs > tracks - track:
            for k in range(starts[track], starts[track + 1]):
                for other in flat[places[k] + 1 : ends[k]]:  # those above `track`
                    counts[other] += 1
            for other in range(track + 1, tracks):
                if counts[other] >= least:
                    neighbours[kept], weights[kept] = other, counts[other]
                    kept += 1
            counts[track + 1 :] = 0
        else:
            seen = 0
            for k in range(starts[track], starts[track + 1]):
                for other in flat[places[k] + 1 : ends[k]]:
                    touched[seen] = other
                    seen += counts[other] == 0
                    counts[other] += 1
            for other in touched[:seen]:
                if counts[other] >= least:
                    neighbours[kept] = other
                    kept += 1
            neighbours[before:kept].sort()
            for k in range(before, kept):
                weights[k] = counts[neighbours[k]]
            for other in touched[:seen]:
                counts[other] = 0
        degrees[track - first] = kept - before
    return degrees, neighbours[:kept].copy(), weights[:kept].copy()


def _weigh_rows(
    flat: np.ndarray,
    starts: np.ndarray,
    places: np.ndarray,
    ends: np.ndarray,
    tracks: int,
    least: int,
    first: int,
    end: int,
) -> np.ndarray:
    """The histogram of rows `first` to `end` of the upper triangle."""
    counts, touched = np.zeros(tracks, np.uint32), np.empty(tracks + 1, np.uint32)
    histogram = np.zeros(least + 1, np.int64)
    for track in range(first, end):
        seen = 0
        for k in range(starts[track], starts[track + 1]):
            for other in flat[places[k] + 1 : ends[k]]:
                touched[seen] = other
                seen += counts[other] == 0
                counts[other] += 1
        for other in touched[:seen]:
            histogram[min(counts[other], least)] += 1
            counts[other] = 0
    return histogram


def _both_ways(
    degrees: np.ndarray, neighbours: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of `TrackGraph` from the rows of the upper triangle, ascending in each."""
    tracks = len(degrees)
    offsets = np.zeros(tracks + 1, np.int64)
    offsets[1:] = degrees
    for other in neighbours:
        offsets[other + 1] += 1
    offsets[:] = np.cumsum(offsets)
    free = offsets[:-1].copy()
    both, doubled = np.empty(2 * len(neighbours), np.int32), np.empty(2 * len(weights), np.int32)
    start = 0
    for track in range(tracks):  # what is below a track is in its row before what is above it
        for k in range(start, start + degrees[track]):
            other = neighbours[k]
            both[free[other]], doubled[free[other]] = track, weights[k]
            free[other] += 1
            both[free[track]], doubled[free[track]] = other, weights[k]
            free[track] += 1
        start += degrees[track]
    return offsets, both, doubled
