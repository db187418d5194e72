"""What lists of recommendations are like beyond their accuracy.

Castells, Hurley and Vargas 2015, "Novelty and diversity in recommender systems", sections 3 and 4;
Gini as in Ge, Delgado-Battenfeld and Jannach 2010, "Beyond accuracy".
"""

import numpy as np

from ssl_audio.recommenders.data.statistics import gini

CUTOFF = 50  # tracks of a list that count


def list_figures(
    lists: np.ndarray, rows: np.ndarray, counts: np.ndarray, artists: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Figures of one system's lists.

    - novelty: mean over a list's tracks of -log2((n + 1) / (N + 1)), in bits, of a track in n
      training playlists where the most popular one is in N; 0 for the most popular track alone.
    - artist_diversity: distinct artists / tracks of a known artist, 0 to 1.
    - coverage: share of `rows` that are in a list, 0 to 1; of all lists together.
    - gini: inequality of how often each of `rows` is recommended, 0 to 1, where 1 is one track
      alone; of all lists together.

    Args:
        lists: (playlists, length) rows of the catalogue, the best first; -1 where a list ends. The
            first `CUTOFF` count.
        rows: (candidates,) of the catalogue.
        counts: (tracks,) number of training playlists that hold each track.
        artists: (tracks,) int, the artist of each track, -1 unknown; None: no artist is known.

    Returns:
        (playlists,) novelty and artist_diversity, (1,) coverage and gini.
    """
    lists = lists[:, :CUTOFF]
    filled = lists >= 0
    bits = -np.log2((counts + 1) / (counts.max(initial=0) + 1))
    length = np.maximum(filled.sum(1), 1)
    times = np.bincount(lists[filled], minlength=len(counts))[rows]
    figures = {
        "novelty": np.where(filled, bits[lists], 0).sum(1) / length,
        "coverage": np.array([(times > 0).mean()]),
        "gini": np.array([gini(times)]),
    }
    if artists is not None:
        of = np.sort(np.where(filled, artists[lists], -1), axis=1)
        known = of >= 0
        new = known & (np.diff(of, axis=1, prepend=-1) != 0)
        figures["artist_diversity"] = new.sum(1) / np.maximum(known.sum(1), 1)
    return figures
