"""EASE: a linear autoencoder of playlists with a closed form.

Steck 2019, "Embarrassingly shallow autoencoders for sparse data", equations 5 to 8. With X the
binary playlist-track matrix, B minimises |X - X B|^2 + l |B|^2 with a zero diagonal:

    P = (X^T X + l I)^-1,    B_ij = -P_ij / P_jj for i != j.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.scorers import AllTracks

MAX_TRACKS = 30_000  # in training playlists: the inverse is then 7 GB in float64


class Ease(AllTracks):
    """A weight for each pair of tracks; a history's scores are the sums of its tracks' rows of B.

    Args:
        playlists: of training; a track counts once in a playlist.
        tracks: in the catalogue.
        penalty: l, above 0.

    Raises:
        SslAudioError: more than `MAX_TRACKS` tracks in the playlists.
    """

    def __init__(self, playlists: Playlists, tracks: int, penalty: float = 200.0) -> None:
        held = playlists.distinct(tracks).matrix(tracks)
        self.tracks, self.known = tracks, np.unique(held.indices)
        if len(self.known) > MAX_TRACKS:
            raise SslAudioError(
                f"baselines=ease inverts a matrix of all {len(self.known)} training tracks, at "
                f"most {MAX_TRACKS}: leave it out"
            )
        held = held[:, self.known]
        gram = (held.T @ held).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += penalty
        inverse = linalg.inv(gram, overwrite_a=True, check_finite=False)
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0)
        self.weights = weights.astype(np.float32)

    def scores(self, histories: Playlists) -> np.ndarray:
        found = np.full((len(histories), self.tracks), np.finfo(np.float32).min)
        found[:, self.known] = histories.matrix(self.tracks)[:, self.known] @ self.weights
        return found
