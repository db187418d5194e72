"""Acoustic features learnt from playlists: MUSIG, section 3.1.

A binary classifier of playlist co-occurrence over windows of 30 s. Both tracks of a pair pass
through the same layer W with 8 outputs (siamese), and the pair's logit is the inner product of the
outputs: `(W u)^T (W v) / sqrt(8) + b`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

from ssl_audio.catalogue.acoustic_model import DIMENSIONS, AcousticModel, Windows
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.acoustic import SiameseSettings
from ssl_audio.settings.tree import plain

HELD_OUT = 0.1  # fraction of the playlists that decides when to stop
VALIDATION_PAIRS = 20_000
MAX_DRAWS = 100  # of candidates for negative pairs


def membership(playlists: Mapping[str, Iterable[str]], ids: list[str]) -> csr_matrix:
    """The membership matrix: (playlists, tracks) of 0 and 1.

    Args:
        playlists: tracks of each playlist; tracks that are not in `ids` are left out, and then
            playlists with fewer than two.

    Raises:
        SslAudioError: no playlist has two of the tracks.
    """
    column = {track: k for k, track in enumerate(ids)}
    members = [sorted({column[t] for t in tracks if t in column}) for tracks in playlists.values()]
    if not any(members):
        raise SslAudioError("no track of the playlists is in the features: do their ids agree?")
    kept = [one for one in members if len(one) >= 2]
    if not kept:
        raise SslAudioError("no playlist has two tracks of the features")
    columns = np.concatenate(kept)
    offsets = np.cumsum([0, *map(len, kept)])
    return csr_matrix((np.ones(len(columns), np.int32), columns, offsets), (len(kept), len(ids)))


class PairSampler:
    """Pairs of tracks: half share a playlist, half share none.

    Args:
        playlists: (playlists, tracks), each with two tracks or more, that positives come from.
        known: (playlists, tracks): negatives share none of these.
    """

    def __init__(self, playlists: csr_matrix, known: csr_matrix, seed: int) -> None:
        self.playlists, self.seed = playlists, seed
        self.by_track = known.T.tocsr()
        self.sizes = np.diff(playlists.indptr)
        self.used = np.unique(playlists.indices)

    def pairs(self, count: int, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tracks u and v, and 1 where they share a playlist: (count,) each, by seed and step.

        Raises:
            SslAudioError: nearly all pairs share a playlist.
        """
        rng = np.random.default_rng([self.seed, step])
        half = count // 2
        u, v = self._positives(half, rng)
        x, y = self._negatives(count - half, rng)
        labels = np.r_[np.ones(len(u), np.float32), np.zeros(len(x), np.float32)]
        return np.r_[u, x], np.r_[v, y], labels

    def _positives(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Playlists with probability proportional to their size, and two tracks of each."""
        playlist = rng.choice(len(self.sizes), count, p=self.sizes / self.sizes.sum())
        size, start = self.sizes[playlist], self.playlists.indptr[playlist]
        first = (rng.random(count) * size).astype(int)
        other = (first + 1 + (rng.random(count) * (size - 1)).astype(int)) % size
        return self.playlists.indices[start + first], self.playlists.indices[start + other]

    def _negatives(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Only tracks that positives can have, so that no track alone predicts the label."""
        u, v = np.zeros(0, int), np.zeros(0, int)
        for _ in range(MAX_DRAWS):
            drawn = rng.choice(self.used, (2, 2 * count))
            shared = self.by_track[drawn[0]].multiply(self.by_track[drawn[1]]).sum(1)
            apart = (np.asarray(shared).ravel() == 0) & (drawn[0] != drawn[1])
            u, v = np.r_[u, drawn[0][apart]], np.r_[v, drawn[1][apart]]
            if len(u) >= count:
                return u[:count], v[:count]
        raise SslAudioError("nearly all pairs of tracks share a playlist: there are no negatives")


def fit_siamese(
    windows: Windows, playlists: csr_matrix, about: Mapping[str, Any], settings: SiameseSettings
) -> AcousticModel:
    """Learn the projection; the one with the best ROC-AUC on held-out playlists is kept.

    Args:
        windows: of the tracks; a pair takes one random window of each of its tracks.
        playlists: of `membership`.

    Raises:
        SslAudioError: fewer than two playlists, or nearly all pairs share a playlist.
    """
    order = np.random.default_rng(settings.seed).permutation(playlists.shape[0])
    held = max(1, round(HELD_OUT * len(order)))
    if len(order) < 2:
        raise SslAudioError("playlists=: one playlist with tracks of the features; two are needed")
    training = PairSampler(playlists[order[held:]], playlists, settings.seed)
    validation = PairSampler(playlists[order[:held]], playlists, settings.seed + 1)
    mean, deviation = windows.vectors.mean(0), windows.vectors.std(0)
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    standardised = torch.from_numpy((windows.vectors - mean) / deviation)
    trained, auc = _train(standardised, windows.offsets, training, validation, settings)
    return AcousticModel.scaled(
        "siamese", trained / deviation, mean, windows.means(),
        {**about, "playlists": int(playlists.shape[0]), "held_out_roc_auc": auc,
         "settings": plain(settings)},
    )  # fmt: skip


def _train(
    x: Tensor, offsets: np.ndarray, training: PairSampler, validation: PairSampler,
    settings: SiameseSettings,
) -> tuple[np.ndarray, float]:  # fmt: skip
    """The best projection (8, dimensions) of standardised windows, and its ROC-AUC."""
    generator = torch.Generator().manual_seed(settings.seed)
    width = x.shape[1]
    weight = (torch.randn(DIMENSIONS, width, generator=generator) / width**0.5).requires_grad_()
    bias = torch.zeros(()).requires_grad_()
    optimizer = torch.optim.AdamW(
        [weight, bias], settings.learning_rate, weight_decay=settings.weight_decay
    )
    best, kept, waited = -1.0, weight.detach().clone(), 0
    for step in range(settings.steps):
        u, v, labels = training.pairs(settings.batch_size, step)
        logits = _logits(weight, bias, x[_draw(offsets, u, step)], x[_draw(offsets, v, ~step)])
        loss = F.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % settings.every == 0:
            auc = _validate(weight, offsets, x, validation)
            waited += 1
            if auc > best:
                best, kept, waited = auc, weight.detach().clone(), 0
            if waited >= settings.patience:
                break
    return kept.numpy(), best


def _logits(weight: Tensor, bias: Tensor, u: Tensor, v: Tensor) -> Tensor:
    return ((u @ weight.T) * (v @ weight.T)).sum(1) / DIMENSIONS**0.5 + bias


def _draw(offsets: np.ndarray, tracks: np.ndarray, step: int) -> np.ndarray:
    """A random window of each track; `~step` draws others, for the second track of a pair."""
    rng = np.random.default_rng([abs(step), step < 0])
    counts = np.diff(offsets)[tracks]
    return offsets[tracks] + (rng.random(len(tracks)) * counts).astype(int)


@torch.no_grad()
def _validate(weight: Tensor, offsets: np.ndarray, x: Tensor, validation: PairSampler) -> float:
    from sklearn.metrics import roc_auc_score

    u, v, labels = validation.pairs(VALIDATION_PAIRS, 0)
    logits = _logits(weight, torch.zeros(()), x[_draw(offsets, u, 0)], x[_draw(offsets, v, ~0)])
    return float(roc_auc_score(labels, logits.numpy()))
