"""Metrics of the RecSys Challenge 2018 (Million Playlist Dataset), over ranked lists.

Zamani, Schedl, Lamere and Chen 2019, "An Analysis of Approaches Taken in the ACM RecSys Challenge
2018 for Automatic Music Playlist Continuation".
"""

import numpy as np

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.pairs import among, pair_keys
from ssl_audio.recommenders.evaluation.completion import ideal_gain

LIST_LENGTH = 500  # tracks per list
PAGE = 10  # tracks that one click shows
NO_HIT_CLICKS = 51  # clicks of a list without a relevant track
ARTIST_CREDIT = 0.25


def challenge_figures(
    ranked: np.ndarray, truth: Playlists, artists: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Metrics of one system, (playlists,) each.

    With G the held-out tracks, and r(i) = 1 if the track of rank i = 1, 2, ... is in G, else 0:

    - r_precision = sum over i <= |G| of r(i) / |G|, 0 to 1.
    - ndcg = sum over i of r(i) / log2(i + 1), divided by the same sum of the best list, that is
      over i <= min(|G|, list) of 1 / log2(i + 1), as in the organisers' program. Their rules divide
      by the sum over i <= |G and list| instead, which favours lists with few hits.
    - clicks = floor((rank of the first hit - 1) / 10), 51 if there is none; lower is better.
    - r_precision_artist, if artists are given: r_precision + 0.25 * (number of artists that are
      both among the first |G| tracks and in G) / |G|, 0 to 1.25. As in the organisers' program,
      artists of tracks that are hits themselves count too.

    Args:
        ranked: (playlists, list) rows of the catalogue, the best first, no track twice; -1 where a
            list ends early. 500 columns for figures comparable with the challenge's.
        truth: the held-out tracks of each playlist, one or more; repeated tracks count once.
        artists: (tracks,) int, the artist of each track, -1 unknown.
    """
    tracks = int(max(ranked.max(), truth.tracks.max())) + 1
    relevant = np.unique(pair_keys(truth, tracks))
    count = np.bincount(relevant // tracks, minlength=len(truth))
    keys = np.arange(len(ranked))[:, None] * tracks + ranked
    hits = among(keys, relevant) & (ranked >= 0)
    rank = np.arange(1, ranked.shape[1] + 1)
    in_precision = rank <= count[:, None]
    found = (hits & in_precision).sum(1)
    gain = hits @ (1 / np.log2(rank + 1))
    clicks = np.where(hits.any(1), hits.argmax(1) // PAGE, NO_HIT_CLICKS)
    figures = {
        "r_precision": found / count,
        "ndcg": gain / ideal_gain(count, len(rank)),
        "clicks": clicks.astype(np.float64),
    }
    if artists is not None:
        shared = _shared_artists(np.where(in_precision, ranked, -1), truth, artists)
        figures["r_precision_artist"] = (found + ARTIST_CREDIT * shared) / count
    return figures


def _shared_artists(first: np.ndarray, truth: Playlists, artists: np.ndarray) -> np.ndarray:
    """(playlists,) number of artists that a list (playlists, list) and the truth have in common."""
    owners, place = np.nonzero(first >= 0)
    size = int(artists.max()) + 1

    def keys(owners: np.ndarray, tracks: np.ndarray) -> np.ndarray:
        of, known = artists[tracks], artists[tracks] >= 0
        return np.unique(owners[known].astype(np.int64) * size + of[known])

    shared = np.intersect1d(keys(owners, first[owners, place]), keys(truth.owners, truth.tracks))
    return np.bincount(shared // max(size, 1), minlength=len(truth))
