"""LightGCN: vectors of playlists and tracks, smoothed over the graph of both.

He et al. 2020, "LightGCN: simplifying and powering graph convolution network for recommendation".
With N the tracks of a playlist u, or the playlists of a track i (equations 3 and 4),

    e_u^(k+1) = sum over i in N_u of e_i^k / sqrt(|N_u| |N_i|),    e_i^(k+1) likewise,

a node's vector is the mean over k = 0 to K (equation 8, alpha = 1 / (K + 1)). Only e^0 is learnt,
by BPR (equation 15): a playlist's own tracks are to score above others, by inner product.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor, nn

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.data.pairs import among, pair_keys
from ssl_audio.settings.recommend import LightGCNSettings

INITIAL_DEVIATION = 0.1


class Triples(NamedTuple):
    """A batch: (n,) int64 playlists, a track of each, and one that it does not hold."""

    playlists: Tensor
    own: Tensor
    other: Tensor


class TripleBatches:
    """Batches of triples; each is a function of the seed and the step.

    Positions of playlists are drawn uniformly, other tracks from those of training. A triple whose
    playlist holds the other track is left out, so that a batch may have fewer than `batch_size`. A
    track counts once in a playlist.
    """

    def __init__(self, playlists: Playlists, tracks: int, batch_size: int, seed: int = 0) -> None:
        sets = playlists.distinct(tracks)
        self.own, self.owners, self.known = sets.tracks, sets.owners, np.unique(sets.tracks)
        self.held = np.sort(pair_keys(sets, tracks))
        self.tracks, self.batch_size, self.seed = tracks, batch_size, seed

    def __call__(self, step: int) -> Triples:
        """The batch of a step."""
        rng = np.random.default_rng((self.seed, step))
        drawn = rng.integers(len(self.own), size=self.batch_size)
        other = self.known[rng.integers(len(self.known), size=self.batch_size)]
        owners = self.owners[drawn].astype(np.int64)
        kept = ~among(owners * self.tracks + other, self.held)
        return Triples(
            torch.from_numpy(owners[kept]),
            torch.from_numpy(self.own[drawn][kept]).long(),
            torch.from_numpy(other[kept]).long(),
        )


class LightGCN(nn.Module):
    """The vectors e^0 of training playlists, in which a track counts once, and of all tracks."""

    scaled: Tensor  # (playlists, tracks) sparse, 1 / sqrt(|N_u| |N_i|)
    roots: Tensor  # (tracks,) 1 / sqrt(|N_i|), 0 for a track in no playlist

    def __init__(
        self, playlists: Playlists, tracks: int, settings: LightGCNSettings, seed: int = 0
    ) -> None:
        super().__init__()
        self.settings = settings
        generator = torch.Generator().manual_seed(seed)
        count, d = len(playlists), settings.dimensions
        first = INITIAL_DEVIATION * torch.randn(count + tracks, d, generator=generator)
        self.playlists, self.tracks = nn.Parameter(first[:count]), nn.Parameter(first[count:])
        held = playlists.held(tracks)
        lengths, roots = (_inverse_roots(held.sum(axis)) for axis in (1, 0))
        scaled = (sparse.diags_array(lengths) @ held @ sparse.diags_array(roots)).tocoo()
        places = torch.from_numpy(np.stack([scaled.row, scaled.col]).astype(np.int64))
        values = torch.from_numpy(scaled.data.astype(np.float32))
        shape = len(playlists), tracks
        # `check_invariants=True` would not keep PyTorch from warning that checks are off by default
        with torch.sparse.check_sparse_tensor_invariants():
            # by rows and then by columns, as scipy's
            matrix = torch.sparse_coo_tensor(places, values, shape, is_coalesced=True)
        self.register_buffer("scaled", matrix, persistent=False)
        self.register_buffer("roots", torch.from_numpy(roots.astype(np.float32)), persistent=False)

    def forward(self) -> tuple[Tensor, Tensor]:
        """(playlists, d) and (tracks, d) vectors: the means over the layers."""
        of_playlists: list[Tensor] = [self.playlists]
        of_tracks: list[Tensor] = [self.tracks]
        for _ in range(self.settings.layers):
            following = torch.sparse.mm(self.scaled, of_tracks[-1])
            of_tracks.append(torch.sparse.mm(self.scaled.t(), of_playlists[-1]))
            of_playlists.append(following)
        return torch.stack(of_playlists).mean(0), torch.stack(of_tracks).mean(0)

    def loss(self, batch: Triples) -> dict[str, Tensor]:
        """BPR, -log sigmoid(e_u . (e_i - e_j)), and half the squared norms of e^0 of the triple by
        the weight of the settings; "total" is the mean over triples."""
        of_playlists, of_tracks = self()
        apart = of_tracks[batch.own] - of_tracks[batch.other]
        margins = (of_playlists[batch.playlists] * apart).sum(1)
        triples = max(len(margins), 1)
        bpr = F.softplus(-margins).sum() / triples
        first = self.playlists[batch.playlists], self.tracks[batch.own], self.tracks[batch.other]
        norms = torch.stack([part.square().sum() for part in first]).sum() / (2 * triples)
        return {"total": bpr + self.settings.regularisation * norms, "bpr": bpr, "norms": norms}

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam."""
        return [torch.optim.Adam(self.parameters(), self.settings.learning_rate)]

    @torch.no_grad()
    def vectors(self) -> np.ndarray:
        """(2, tracks, d) float32: e_i / sqrt(|N_i|), whose sum over a new playlist's tracks is its
        next layer up to a factor, and e_i."""
        _, of_tracks = self()
        return torch.stack([of_tracks * self.roots[:, None], of_tracks]).cpu().numpy()


def _inverse_roots(degrees: np.ndarray) -> np.ndarray:
    """1 / sqrt(degree), 0 where it is 0; float64."""
    counts = np.asarray(degrees, np.float64)
    return np.divide(1, np.sqrt(counts), out=np.zeros_like(counts), where=counts > 0)
