"""Playlists and the catalogue that they draw from, as every playlist model reads them.

A track is a row number of the catalogue; a collection of playlists is one long list of such
numbers, cut by offsets. So a million playlists are two arrays, and nothing loops over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Playlists:
    """Ordered lists of tracks.

    Attributes:
        tracks: (positions of all playlists,) int32 rows of the catalogue, in order.
        offsets: (playlists + 1,) int64, where each playlist starts.
        ids: (playlists,) what its source calls it.
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
        """(playlists,) tracks in each."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> np.ndarray:
        """(positions,) int32, the playlist that each position is in."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.lengths)

    def take(self, chosen: np.ndarray) -> Playlists:
        """Some of the playlists, in the order given: row numbers, or a mask (playlists,)."""
        rows = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
        positions = np.repeat(self.offsets[rows], lengths) + within
        return Playlists(self.tracks[positions], offsets, [self.ids[k] for k in rows.tolist()])

    def keep(self, wanted: np.ndarray) -> Playlists:
        """The same playlists with only the positions that a mask (positions,) keeps."""
        ends = np.concatenate([[0], np.cumsum(wanted)])
        return Playlists(self.tracks[wanted], ends[self.offsets], self.ids)

    def without_tracks(self, tracks: np.ndarray) -> Playlists:
        """The same playlists without the tracks of a mask (catalogue,)."""
        return self.keep(~tracks[self.tracks])


def playlists_of(lists: Sequence[Sequence[int]], ids: Sequence[str] | None = None) -> Playlists:
    """Playlists from lists of track rows."""
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    flat = np.fromiter((t for one in lists for t in one), np.int32, int(offsets[-1]))
    return Playlists(flat, offsets, ids or [str(k) for k in range(len(lists))])


def codes_of(names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Names as numbers.

    By a dictionary: an array of strings has room for the longest name at every place.

    Args:
        names: (n,); "" is none.

    Returns:
        (n,) int32 rows of the values, -1 for ""; and the values, sorted, each once.
    """
    values = sorted(set(names) - {""})
    number = {"": -1} | {name: k for k, name in enumerate(values)}
    return np.fromiter((number[name] for name in names), np.int32, len(names)), values


@dataclass(frozen=True)
class Catalogue:
    """What is known of the tracks, a row each; "" where something is not known.

    Attributes:
        ids: (tracks,) unique: what feature stores and playlist files call them.
        artists, albums, genres, titles: (tracks,).
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
