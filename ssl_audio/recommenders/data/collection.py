"""Playlists and their catalogue in memory, the input of every playlist model.

A track is a row number of the catalogue; playlists are compressed rows (`csr`) of such numbers, so
that a million playlists are two arrays and no code loops over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse

from ssl_audio.recommenders.data.csr import (
    kept_offsets,
    offsets_of,
    owners_of,
    places_of,
    take_rows,
)


@dataclass(frozen=True)
class Playlists:
    """Ordered lists of tracks.

    Attributes:
        tracks: (positions of all playlists,) int32 rows of the catalogue, in order.
        offsets: (playlists + 1,) int64, where each playlist starts in `tracks`.
        ids: (playlists,) their names in the source.
    """

    tracks: np.ndarray
    offsets: np.ndarray
    ids: Sequence[str]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.offsets) - 1 or self.offsets[-1] != len(self.tracks):
            raise ValueError(
                f"{len(self.ids)} ids, {len(self.offsets)} offsets up to {self.offsets[-1]}, "
                f"{len(self.tracks)} positions"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, playlist: int) -> np.ndarray:
        """(length,) its tracks; a view."""
        return self.tracks[self.offsets[playlist] : self.offsets[playlist + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """(playlists,) number of tracks."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> np.ndarray:
        """(positions,) int32, the playlist that each position is in."""
        return owners_of(self.offsets)

    @property
    def places(self) -> np.ndarray:
        """(positions,) int64, the place of each position in its playlist, from 0."""
        return places_of(self.offsets)

    def take(self, chosen: np.ndarray) -> Playlists:
        """Some of the playlists, in the order given: row numbers, or a mask (playlists,)."""
        rows = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        positions, offsets = take_rows(self.offsets, rows)
        ids = [self.ids[k] for k in rows.tolist()]
        return replace(self, tracks=self.tracks[positions], offsets=offsets, ids=ids)

    def keep(self, mask: np.ndarray) -> Playlists:
        """The same playlists with only the positions of a mask (positions,)."""
        return replace(self, tracks=self.tracks[mask], offsets=kept_offsets(self.offsets, mask))

    def without_tracks(self, tracks: np.ndarray) -> Playlists:
        """The same playlists without the tracks of a mask (catalogue,)."""
        return self.keep(~tracks[self.tracks])

    def matrix(self, tracks: int, recency: float = 1.0) -> sparse.csr_array:
        """(playlists, tracks) float32, how often a playlist holds each of a catalogue's tracks: the
        sum of recency^k over its positions, k positions before the playlist's last."""
        later = np.repeat(self.lengths, self.lengths) - 1 - self.places
        weights = np.power(recency, later, dtype=np.float32)
        return sparse.csr_array((weights, self.tracks, self.offsets), (len(self), tracks))

    def held(self, tracks: int, recency: float = 1.0) -> sparse.csr_array:
        """`matrix` with values of at most 1, each row's tracks ascending; without recency, 1 where
        a playlist holds a track."""
        found = self.matrix(tracks, recency).copy()  # sums in place, of the playlists' own array
        found.sum_duplicates()
        np.minimum(found.data, 1, out=found.data)
        return found

    def distinct(self, tracks: int) -> Playlists:
        """Each playlist's distinct tracks, ascending, of a catalogue of `tracks`."""
        entries = np.ones(len(self.tracks), bool), self.tracks.copy(), self.offsets.copy()
        matrix = sparse.csr_array(entries, (len(self), tracks))
        matrix.sum_duplicates()  # sorts each row, too
        return Playlists(matrix.indices, matrix.indptr.astype(np.int64), self.ids)


def playlists_of(lists: Sequence[Sequence[int]], ids: Sequence[str] | None = None) -> Playlists:
    """Playlists from lists of track rows."""
    offsets = offsets_of(np.array([len(one) for one in lists], np.int64))
    flat = np.fromiter((t for one in lists for t in one), np.int32, int(offsets[-1]))
    return Playlists(flat, offsets, ids or [str(k) for k in range(len(lists))])


def codes_of(names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Integer codes of names.

    Returns:
        (n,) int32, the place of each name among the sorted distinct names, -1 for "" (no name);
        and these names.
    """
    values = sorted(set(names) - {""})
    number = {"": -1} | {name: k for k, name in enumerate(values)}
    return np.fromiter((number[name] for name in names), np.int32, len(names)), values


@dataclass(frozen=True)
class Catalogue:
    """Tracks and their metadata, one row each; "" where unknown.

    Attributes:
        ids: (tracks,) unique; the ids of feature stores and playlist files.
        artists, albums, genres, titles: (tracks,).
        row: row number by id.
    """

    ids: Sequence[str]
    artists: Sequence[str] = ()
    albums: Sequence[str] = ()
    genres: Sequence[str] = ()
    titles: Sequence[str] = ()
    row: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("artists", "albums", "genres", "titles"):
            column = getattr(self, name) or [""] * len(self.ids)
            if len(column) != len(self.ids):
                raise ValueError(f"{len(column)} {name} of {len(self.ids)} tracks")
            object.__setattr__(self, name, column)
        object.__setattr__(self, "row", {track: k for k, track in enumerate(self.ids)})

    def __len__(self) -> int:
        return len(self.ids)
