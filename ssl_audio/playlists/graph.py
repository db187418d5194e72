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

import numpy as np
from scipy import sparse

from ssl_audio.errors import SslAudioError
from ssl_audio.parallel import available_processors, threaded
from ssl_audio.playlists.collection import Playlists
from ssl_audio.run_dir import atomic

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
        low, high = self.offsets[rows], self.offsets[rows + 1]
        while (open_ := low < high).any():
            # a row that is done may end where the array ends: there it looks at the last place
            middle = np.minimum((low + high) // 2, len(self.neighbours) - 1)
            up = open_ & below(middle)
            high = np.where(open_ & ~up, middle, high)
            low = np.where(up, middle + 1, low)
        return low - self.offsets[rows]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the three arrays as one safetensors file, atomically."""
        from safetensors.numpy import save_file

        arrays = {"offsets": self.offsets, "neighbours": self.neighbours, "weights": self.weights}
        with atomic(path) as temporary:
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
    blocks, histogram = _cooccurrence(playlists, tracks, least_weight)
    if not histogram[least_weight]:
        raise SslAudioError(_empty(histogram, least_weight))
    degrees, neighbours, weights = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    offsets = np.concatenate([[0], np.cumsum(degrees)])
    return TrackGraph._symmetric(_matrix(weights, neighbours, offsets))


def edges_by_threshold(
    playlists: Playlists, tracks: int, thresholds: Sequence[int]
) -> dict[int, int]:
    """How many edges the graph would have at each threshold.

    Args:
        playlists, tracks: as for `build_graph`, at whose cost this is.
        thresholds: weights, 1 or more.
    """
    _, histogram = _cooccurrence(playlists, tracks, max(thresholds), keep=False)
    return _left(histogram, thresholds)


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


Block = tuple[np.ndarray, np.ndarray, np.ndarray]  # degrees, neighbours, weights of some rows


def _cooccurrence(
    playlists: Playlists, tracks: int, least: int, keep: bool = True
) -> tuple[list[Block], np.ndarray]:
    """Rows of the upper triangle that reach `least`, unsorted, and a histogram of all weights.

    Returns:
        The rows in blocks, and (least + 1,) how many edges have each weight below `least`, and at
        the end how many have it or more.
    """
    if least < 1:
        raise ValueError(f"a least weight of {least}: 1 or more")
    _within(playlists.tracks, tracks)
    flat, ends, places, starts = _distinct(playlists, tracks)
    count = partial(_compiled(), flat, ends, places, starts, tracks, least, keep)
    bounds = _equal_work(ends[places] - places, starts)
    results = threaded(bounds, lambda rows: count(*rows), available_processors(), 2)
    histogram, blocks = np.zeros(least + 1, np.int64), []
    for degrees, neighbours, weights, found in results:
        histogram += found
        blocks.append((degrees, neighbours, weights))
    return blocks, histogram


def _within(rows: np.ndarray, tracks: int) -> None:
    """Refuse rows outside the catalogue."""
    if len(rows) and not 0 <= rows.min() <= rows.max() < tracks:
        raise ValueError(f"a track outside 0 to {tracks - 1}")


def _distinct(
    playlists: Playlists, tracks: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Playlists as sets, by counting alone: a transposition sorts, and a second one sorts back.

    Returns:
        (positions,) tracks, ascending and once in each playlist; (positions,) where the playlist of
        each position ends; (positions,) the positions of each track in turn; and (tracks + 1,)
        where those of each track start.
    """
    ones = np.ones(len(playlists.tracks), bool)
    shape = (len(playlists), tracks)
    by_track = sparse.csr_array((ones, playlists.tracks, playlists.offsets), shape).tocsc()
    by_track.sum_duplicates()
    sets = by_track.tocsr()
    numbered = sparse.csr_array((np.arange(sets.nnz), sets.indices, sets.indptr), shape).tocsc()
    ends = np.repeat(sets.indptr[1:], np.diff(sets.indptr))
    return sets.indices.astype(np.uint32), ends, numbered.data, numbered.indptr


def _equal_work(pairs: np.ndarray, starts: np.ndarray) -> list[tuple[int, int]]:
    """Blocks of rows (first, end) with about as many pairs in each."""
    done = np.concatenate([[0], np.cumsum(pairs)])[starts]
    shares = np.linspace(0, done[-1], BLOCKS + 1)[1:-1]
    bounds = np.unique(np.concatenate([[0], np.searchsorted(done, shares), [len(starts) - 1]]))
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))


def _count_rows(
    flat: np.ndarray,
    ends: np.ndarray,
    places: np.ndarray,
    starts: np.ndarray,
    tracks: int,
    least: int,
    keep: bool,
    first: int,
    end: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows `first` to `end` of the upper triangle: degrees, neighbours, weights, histogram.

    A row is counted in one array, and only the places that were counted in are read and set back
    to 0, so that a large catalogue costs no more than its playlists.
    """
    counts = np.zeros(tracks, np.uint32)  # unsigned: numba need not look for negative places
    touched = np.empty(tracks + 1, np.uint32)  # one to spare for the write that does not count
    histogram = np.zeros(least + 1, np.int64)
    degrees = np.zeros(end - first, np.int64)
    neighbours, weights = np.empty(1024, np.int32), np.empty(1024, np.int32)
    kept = 0
    for track in range(first, end):
        seen = 0
        for k in range(starts[track], starts[track + 1]):
            place = places[k]
            for other in flat[place + 1 : ends[place]]:  # those above `track`
                if counts[other] == 0:
                    touched[seen] = other
                    seen += 1
                counts[other] += 1
        if kept + seen > len(neighbours):
            size = 2 * (kept + seen)
            more, heavier = np.empty(size, np.int32), np.empty(size, np.int32)
            more[:kept], heavier[:kept] = neighbours[:kept], weights[:kept]
            neighbours, weights = more, heavier
        before = kept
        for other in touched[:seen]:
            weight = counts[other]
            counts[other] = 0
            histogram[min(weight, least)] += 1
            if keep and weight >= least:
                neighbours[kept], weights[kept] = other, weight
                kept += 1
        degrees[track - first] = kept - before
    return degrees, neighbours[:kept].copy(), weights[:kept].copy(), histogram


@cache
def _compiled() -> Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """`_count_rows` as machine code that leaves Python's lock to other threads."""
    import numba

    return numba.njit(nogil=True)(_count_rows)
