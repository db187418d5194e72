"""The metrics of the RecSys Challenge 2018 (Million Playlist Dataset), over ranked lists.

Zamani, Schedl, Lamere and Chen 2019, "An Analysis of Approaches Taken in the ACM RecSys Challenge
2018 for Automatic Music Playlist Continuation". Each playlist has a list of up to 500
tracks, from the whole catalogue, and a set G of tracks that were taken away from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.evaluation.completion import ideal_gain

PAGE = 10  # tracks that a click shows
LONGEST = 500  # tracks of a list
NEVER = 51  # clicks where none of them is right
ARTIST_CREDIT = 0.25


@dataclass(frozen=True)
class ChallengeFigures:
    """Figures of one system, (playlists,) each.

    Attributes:
        r_precision: of tracks, 0 to 1.
        ndcg: 0 to 1.
        clicks: 0 to 51; fewer are better.
        r_precision_artist: with the credit for artists, 0 to 1.25; None where none are known.
    """

    r_precision: np.ndarray
    ndcg: np.ndarray
    clicks: np.ndarray
    r_precision_artist: np.ndarray | None = None

    def columns(self) -> dict[str, np.ndarray]:
        """All that are known, by name."""
        return {name: values for name, values in vars(self).items() if values is not None}


def challenge_figures(
    ranked: np.ndarray, truth: Playlists, artists: np.ndarray | None = None
) -> ChallengeFigures:
    """Compare ranked lists with the tracks that were taken away.

    With r(i) = 1 where the track of rank i = 1, 2, ... is in G:

    - R-precision = sum over i <= |G| of r(i) / |G|, of tracks only, as in the rules. With the
      credit for artists, as in the organisers' program, 0.25 times the number of artists that are
      both among the first |G| tracks and in G is added to the sum: also those whose track was
      found, so that a perfect list has more than 1.
    - NDCG = sum over i of r(i) / log2(i + 1), over the same sum of the best list, that is over
      i <= min(|G|, list) of 1 / log2(i + 1): as the organisers' program has it. Their rules divide
      by the sum over i <= |G and list| instead, which rewards a list that finds little.
    - clicks = floor((rank of the first right one - 1) / 10), 51 where there is none.

    Args:
        ranked: (playlists, list) rows of the catalogue, the best first, no track twice; -1 where a
            list ends early. 500 columns for figures that compare with the challenge's.
        truth: what was taken away from each; a track that comes twice counts once.
        artists: (tracks,) int, the artist of each track; -1 where it is not known. None: no
            artist is.

    Raises:
        ValueError: not a list of 1 to 500 tracks for each playlist, a list with a track twice, or a
            playlist from which nothing was taken.
    """
    tracks = _checked(ranked, truth)
    wanted = _pairs(truth.owners, truth.tracks, tracks)
    count = np.bincount(wanted // tracks, minlength=len(truth))
    right = _right(ranked, wanted, tracks)
    rank = np.arange(1, ranked.shape[1] + 1)
    found = (right & (rank <= count[:, None])).sum(1).astype(np.float64)
    with_artists = None
    if artists is not None:
        credit = ARTIST_CREDIT * _artists_found(ranked, truth, count, artists)
        with_artists = (found + credit) / count
    gain = right @ (1 / np.log2(rank + 1))
    clicks = np.where(right.any(1), right.argmax(1) // PAGE, NEVER)
    return ChallengeFigures(
        found / count, gain / ideal_gain(count, len(rank)), clicks.astype(np.float64), with_artists
    )


def next_track_hits(ranked: np.ndarray, truth: Playlists, k: int) -> np.ndarray:
    """(playlists,) 1 where the track that comes next is among the first k, else 0.

    Args:
        ranked: (playlists, list) rows of the catalogue, the best first.
        truth: what follows in each playlist; only the first track of each counts.
        k: 1 to list.

    Raises:
        ValueError: as `challenge_figures`, or k out of range.
    """
    _checked(ranked, truth)
    if not 1 <= k <= ranked.shape[1]:
        raise ValueError(f"k={k} of lists of {ranked.shape[1]}")
    following = truth.tracks[truth.offsets[:-1]]
    return (ranked[:, :k] == following[:, None]).any(1).astype(np.float64)


def _checked(ranked: np.ndarray, truth: Playlists) -> int:
    """One more than the highest track of either."""
    if ranked.ndim != 2 or len(ranked) != len(truth) or not 0 < ranked.shape[1] <= LONGEST:
        raise ValueError(f"ranked lists of {ranked.shape} for {len(truth)} playlists")
    if not (truth.lengths > 0).all():
        raise ValueError("a playlist from which no track was taken has no figure")
    ordered = np.sort(ranked, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(1)
    if twice.any():
        raise ValueError(f"the list of playlist {truth.ids[int(twice.argmax())]} has a track twice")
    return int(max(ordered[:, -1].max(), truth.tracks.max())) + 1


def _pairs(owners: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    """Sorted int64, one number for each distinct pair."""
    return np.unique(owners.astype(np.int64) * size + values)


def _right(ranked: np.ndarray, wanted: np.ndarray, tracks: int) -> np.ndarray:
    """(playlists, list) bool: whether the track is one of the playlist's wanted pairs."""
    keys = np.arange(len(ranked))[:, None] * tracks + ranked
    place = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
    return (wanted[place] == keys) & (ranked >= 0)


def _artists_found(
    ranked: np.ndarray, truth: Playlists, count: np.ndarray, artists: np.ndarray
) -> np.ndarray:
    """(playlists,) artists of the first |G| tracks of each list that are artists of G."""
    size = int(artists.max()) + 1
    owners, place = np.nonzero((np.arange(ranked.shape[1]) < count[:, None]) & (ranked >= 0))
    listed, true = artists[ranked[owners, place]], artists[truth.tracks]
    shared = np.intersect1d(
        _pairs(owners[listed >= 0], listed[listed >= 0], size),
        _pairs(truth.owners[true >= 0], true[true >= 0], size),
        assume_unique=True,
    )
    return np.bincount(shared // size, minlength=len(truth))
