"""Statistics of a set of playlists: how often tracks are played, and in what order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssl_audio.recommenders.data.collection import Playlists, codes_of
from ssl_audio.recommenders.data.pairs import first_mentions, pair_keys


@dataclass(frozen=True)
class PlaylistStatistics:
    """What tells dense from sparse playlists, and real ones from generated ones.

    Tracks that are in no playlist do not count.

    Attributes:
        playlists, positions, tracks: their numbers.
        mean_plays, median_plays: positions of a track.
        gini: Gini coefficient of the plays, 0 (all tracks alike) to 1.
        zipf: exponent s of plays ~ rank ** -s, by maximum likelihood over all ranks.
        same_artist: share of adjacent positions with the same artist, of those whose artists are
            both known; None if there are none.
        shuffled: its expectation if the order within each playlist is random.
        repeats: share of positions whose track was in the playlist before.
        lengths: 10th, 50th and 90th percentile of positions in a playlist.
    """

    playlists: int
    positions: int
    tracks: int
    mean_plays: float
    median_plays: float
    gini: float
    zipf: float
    same_artist: float | None
    shuffled: float | None
    repeats: float
    lengths: tuple[float, float, float]

    def __str__(self) -> str:
        artists = "no artists"
        if self.same_artist is not None:
            artists = (
                f"{self.same_artist:.3f} of adjacent tracks of the same artist "
                f"({self.shuffled:.3f} in random order)"
            )
        return (
            f"statistics: {self.positions} positions in {self.playlists} playlists of "
            f"{self.tracks} tracks; {self.mean_plays:.1f} plays a track (median "
            f"{self.median_plays:g}), Gini {self.gini:.2f}, Zipf exponent {self.zipf:.2f}; "
            f"{artists}; {self.repeats:.3f} repeats; length {self.lengths[1]:g} "
            f"({self.lengths[0]:g} to {self.lengths[2]:g})"
        )


def playlist_statistics(playlists: Playlists, artists: Sequence[str]) -> PlaylistStatistics:
    """Statistics of playlists with at least one position.

    Args:
        playlists: rows of the catalogue.
        artists: (catalogue,) names, "" unknown.
    """
    counts = np.bincount(playlists.tracks)
    counts = np.sort(counts[counts > 0])[::-1]
    repeats = 1 - first_mentions(playlists, len(artists)).mean()
    codes, names = codes_of(artists)
    same, shuffled = _same_artist(replace(playlists, tracks=codes[playlists.tracks]), len(names))
    low, middle, high = np.quantile(playlists.lengths, (0.1, 0.5, 0.9)).tolist()
    return PlaylistStatistics(
        playlists=len(playlists),
        positions=len(playlists.tracks),
        tracks=len(counts),
        mean_plays=float(counts.mean()),
        median_plays=float(np.median(counts)),
        gini=gini(counts),
        zipf=_zipf(counts),
        same_artist=same,
        shuffled=shuffled,
        repeats=float(repeats),
        lengths=(low, middle, high),
    )


def gini(counts: np.ndarray) -> float:
    """Gini coefficient: mean absolute difference of two counts over twice their mean; 0 for zeros.

    With the counts x_1 <= ... <= x_n it is sum over i of (2 i - n - 1) x_i / (n sum of x).
    """
    ranks = np.arange(1, len(counts) + 1)
    total = np.sort(counts).astype(np.float64)
    return float((2 * ranks - len(counts) - 1) @ total / max(len(counts) * total.sum(), 1))


def _zipf(counts: np.ndarray) -> float:
    """s that maximises sum_r c_r log(r ** -s / sum_k k ** -s), counts c in descending order."""
    from scipy.optimize import minimize_scalar

    logs = np.log(np.arange(1, len(counts) + 1))
    mean = counts @ logs / counts.sum()
    found = minimize_scalar(
        lambda s: s * mean + np.log(np.exp(-s * logs).sum()), bounds=(0, 5), method="bounded"
    )
    return float(found.x)


def _same_artist(artists: Playlists, names: int) -> tuple[float | None, float | None]:
    """Shares of adjacent positions with the same artist: as ordered, and in random order.

    A playlist with n positions, n_a of them of artist a, has n - 1 adjacent pairs, each of which
    has the same artist with probability sum_a n_a (n_a - 1) / (n (n - 1)) in random order.
    """
    owners, artist = artists.owners, artists.tracks
    pair = (owners[1:] == owners[:-1]) & (artist[1:] >= 0) & (artist[:-1] >= 0)
    if not pair.any():
        return None, None
    known = artists.keep(artist >= 0)
    keys, counts = np.unique(pair_keys(known, names), return_counts=True)
    same = (counts * (counts - 1) / known.lengths[keys // names]).sum()
    pairs = np.maximum(known.lengths - 1, 0).sum()
    return float((artist[1:] == artist[:-1])[pair].mean()), float(same / pairs)
