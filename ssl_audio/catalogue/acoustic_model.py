"""Eight acoustic features of a track: a projection of its frozen embedding, made for playlists.

Learnt as MUSIG describes (section 3.1): a binary classifier of playlist co-occurrence over windows
of 30 s, whose last layer has 8 dimensions. Both tracks of a pair go through the same layer
(siamese), and the pair's logit is the inner product of what comes out. Without playlists: the eight
first principal components, whitened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

from ssl_audio.io.atomic import atomic_folder
from ssl_audio.io.errors import SslAudioError

DIMENSIONS = 8
WINDOW = 30.0  # seconds
FORMAT = 1
WEIGHTS, CONFIG = "model.safetensors", "config.json"
HELD_OUT = 0.1  # of the playlists, to stop by
VALIDATION_PAIRS = 20_000


@dataclass(frozen=True)
class Windows:
    """Embeddings of tracks, a window at a time.

    Attributes:
        vectors: (windows of all tracks, dimensions) float32.
        offsets: (tracks + 1,) where each track's windows start; every track has one or more.
    """

    vectors: np.ndarray
    offsets: np.ndarray

    @property
    def tracks(self) -> int:
        """How many."""
        return len(self.offsets) - 1

    def means(self) -> np.ndarray:
        """(tracks, dimensions)."""
        sums = np.add.reduceat(self.vectors, self.offsets[:-1], axis=0, dtype=np.float64)
        return (sums / np.diff(self.offsets)[:, None]).astype(np.float32)


def windows_of(
    segments: Iterator[tuple[str, np.ndarray, np.ndarray]], ids: Sequence[str]
) -> Windows:
    """Means over the segments that start in each 30 s, of the tracks `ids` in their order.

    Args:
        segments: id, times (n,), vectors (n, dimensions) of each track, in the order of `ids`.
        ids: of the tracks.
    """
    rows, counts = [], []
    for expected, (track, times, vectors) in zip(ids, segments, strict=True):
        assert track == expected
        window = (times // WINDOW).astype(int)
        starts = np.flatnonzero(np.diff(window, prepend=-1))
        sums = np.add.reduceat(vectors, starts, axis=0, dtype=np.float64)
        rows.append((sums / np.diff(np.append(starts, len(times)))[:, None]).astype(np.float32))
        counts.append(len(starts))
    return Windows(np.concatenate(rows), np.cumsum([0, *counts]))


def whole_tracks(means: np.ndarray) -> Windows:
    """One window a track, where a store has no segments."""
    return Windows(means, np.arange(len(means) + 1))


@dataclass(frozen=True)
class AcousticModel:
    """Embedding to acoustic features; fitted once, applied to any track.

    Attributes:
        kind: "siamese" or "pca".
        weight, bias: (8, dimensions) and (8,).
        low, high: (8,) least and greatest value over the training tracks.
        about: what it was fitted on, and how well it does there.
    """

    kind: str
    weight: np.ndarray
    bias: np.ndarray
    low: np.ndarray
    high: np.ndarray
    about: Mapping[str, Any]

    def features(self, embeddings: np.ndarray) -> np.ndarray:
        """(tracks, dimensions) to (tracks, 8) float32, 0 to 1; what lies outside is clipped."""
        if embeddings.ndim != 2 or embeddings.shape[1] != self.weight.shape[1]:
            raise SslAudioError(
                f"the acoustic model takes (tracks, {self.weight.shape[1]}) embeddings, not "
                f"{embeddings.shape}"
            )
        raw = embeddings @ self.weight.T + self.bias
        span = np.where(self.high > self.low, self.high - self.low, 1.0)
        return np.clip((raw - self.low) / span, 0.0, 1.0).astype(np.float32)

    @property
    def hash(self) -> str:
        """SHA-256 of the weights: equal for equal features."""
        digest = hashlib.sha256(self.kind.encode())
        for array in (self.weight, self.bias, self.low, self.high):
            digest.update(np.ascontiguousarray(array, np.float32).tobytes())
        return digest.hexdigest()

    def save(self, folder: str | Path) -> Path:
        """Write the folder: weights and configuration, all or nothing."""
        from safetensors.numpy import save_file

        folder = Path(folder)
        arrays = {name: np.ascontiguousarray(getattr(self, name), np.float32)
                  for name in ("weight", "bias", "low", "high")}  # fmt: skip
        config = {"format": FORMAT, "kind": self.kind, "about": dict(self.about)}
        try:
            with atomic_folder(folder) as temporary:
                save_file(arrays, temporary / WEIGHTS)
                (temporary / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
        except OSError as error:
            raise SslAudioError(f"model={folder}: {error.strerror}") from error
        return folder


def load_acoustic(folder: str | Path) -> AcousticModel:
    """Read an acoustic model's folder.

    Raises:
        SslAudioError: it is not there, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    try:
        config = json.loads((folder / CONFIG).read_text())
        if config["format"] != FORMAT:
            raise SslAudioError(f"{folder}: format {config['format']}, this version reads {FORMAT}")
        arrays = load_file(folder / WEIGHTS)
        parts = {name: arrays[name] for name in ("weight", "bias", "low", "high")}
        return AcousticModel(config["kind"], about=config["about"], **parts)
    except FileNotFoundError as error:
        raise SslAudioError(f"model={folder}: no {Path(error.filename).name} there") from error
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise SslAudioError(f"model={folder} is damaged: {error}") from error


def similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner products of pairs' features, MUSIG's regression target: (pairs, d) twice to (pairs,).

    Of features in 0 to 1 it lies between 0 and d.
    """
    return np.einsum("pd,pd->p", a, b, dtype=np.float64)


# --- without playlists ---------------------------------------------------------------------------


def fit_pca(windows: Windows, about: Mapping[str, Any]) -> AcousticModel:
    """The eight first principal components of the tracks' means, whitened.

    Raises:
        SslAudioError: fewer than 9 tracks.
    """
    from sklearn.decomposition import PCA

    means = windows.means()
    if min(means.shape) <= DIMENSIONS:
        raise SslAudioError(f"{len(means)} tracks are too few: {DIMENSIONS + 1} or more")
    pca = PCA(DIMENSIONS, whiten=True, svd_solver="full").fit(means)
    weight = pca.components_ / np.sqrt(pca.explained_variance_)[:, None]
    explained = float(pca.explained_variance_ratio_.sum())
    return _scaled(
        "pca", weight, -weight @ pca.mean_, means, {**about, "explained_variance": explained}
    )


def _scaled(
    kind: str, weight: np.ndarray, bias: np.ndarray, means: np.ndarray, about: Mapping[str, Any]
) -> AcousticModel:
    """With the scaler fitted on the training tracks."""
    weight, bias = weight.astype(np.float32), bias.astype(np.float32)
    raw = means @ weight.T + bias
    return AcousticModel(kind, weight, bias, raw.min(0), raw.max(0), about)


# --- from playlists ------------------------------------------------------------------------------


@dataclass(frozen=True)
class SiameseSettings:
    """How the projection is trained.

    Attributes:
        batch_size: pairs; half of them share a playlist.
        steps: most steps.
        every: steps between validations; the best is kept, and `patience` without a better one end
            the training.
        patience: validations.
        learning_rate, weight_decay: AdamW's.
        seed: of weights, split and pairs.
    """

    batch_size: int = 1024
    steps: int = 2000
    every: int = 50
    patience: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    seed: int = 0


def membership(playlists: Sequence[tuple[str, str]], ids: Sequence[str]) -> csr_matrix:
    """Which track is in which playlist: (playlists, tracks) of 0 and 1.

    Args:
        playlists: (playlist, track) pairs; tracks that are not in `ids` are left out, and so are
            playlists of fewer than two that are.
        ids: of the tracks.

    Raises:
        SslAudioError: no playlist has two of the tracks.
    """
    column = {track: k for k, track in enumerate(ids)}
    row: dict[str, int] = {}
    entries = [
        (row.setdefault(playlist, len(row)), column[track])
        for playlist, track in playlists
        if track in column
    ]
    if not entries:
        raise SslAudioError("no track of the playlists is in the features: do their ids agree?")
    rows, columns = np.array(entries).T
    matrix = csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), (len(row), len(ids)))
    matrix.data[:] = 1  # a track that is in a playlist twice
    matrix = matrix[np.asarray(matrix.sum(1)).ravel() >= 2]
    if not matrix.shape[0]:
        raise SslAudioError("no playlist has two tracks of the features")
    return matrix.tocsr()


class PairSampler:
    """Pairs of tracks: half share a playlist, half share none.

    Args:
        playlists: (playlists, tracks), each with two tracks or more, that positives come from.
        known: (playlists, tracks): negatives share none of these.
        seed: of the drawing.
    """

    def __init__(self, playlists: csr_matrix, known: csr_matrix, seed: int) -> None:
        self.playlists, self.seed = playlists, seed
        self.by_track = known.T.tocsr()
        self.sizes = np.diff(playlists.indptr)
        self.used = np.unique(playlists.indices)

    def pairs(self, count: int, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tracks u and v, and 1 where they share a playlist: (count,) each, by seed and step."""
        rng = np.random.default_rng([self.seed, step])
        half = count // 2
        u, v = self._positives(half, rng)
        x, y = self._negatives(count - half, rng)
        labels = np.r_[np.ones(len(u), np.float32), np.zeros(len(x), np.float32)]
        return np.r_[u, x], np.r_[v, y], labels

    def _positives(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A playlist by its size, and two of its tracks."""
        playlist = rng.choice(len(self.sizes), count, p=self.sizes / self.sizes.sum())
        size, start = self.sizes[playlist], self.playlists.indptr[playlist]
        first = (rng.random(count) * size).astype(int)
        other = (first + 1 + (rng.random(count) * (size - 1)).astype(int)) % size
        return self.playlists.indices[start + first], self.playlists.indices[start + other]

    def _negatives(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Of the same tracks, or the popular ones would be told by being there at all."""
        u, v = np.zeros(0, int), np.zeros(0, int)
        for _ in range(100):
            drawn = rng.choice(self.used, (2, 2 * count))
            shared = self.by_track[drawn[0]].multiply(self.by_track[drawn[1]]).sum(1)
            apart = (np.asarray(shared).ravel() == 0) & (drawn[0] != drawn[1])
            u, v = np.r_[u, drawn[0][apart]], np.r_[v, drawn[1][apart]]
            if len(u) >= count:
                return u[:count], v[:count]
        raise SslAudioError("nearly all pairs of tracks share a playlist: nothing to tell apart")


def fit_siamese(
    windows: Windows,
    playlists: csr_matrix,
    about: Mapping[str, Any],
    settings: SiameseSettings | None = None,
) -> AcousticModel:
    """Learn the projection from playlist co-occurrence.

    A pair's logit is the inner product of both tracks' 8 dimensions, over the root of 8, and a
    bias. A tenth of the playlists is held out; the projection that tells their pairs best is kept.

    Args:
        windows: of the tracks; each draw of a track is one of its windows.
        playlists: as `membership` gives it.
        about: kept with the model.
        settings: see there.

    Raises:
        SslAudioError: fewer than two playlists, or playlists that share nearly everything.
    """
    settings = settings or SiameseSettings()
    rng = np.random.default_rng(settings.seed)
    order = rng.permutation(playlists.shape[0])
    held = max(1, round(HELD_OUT * len(order)))
    if len(order) < 2:
        raise SslAudioError("one playlist tells nothing apart: give two or more")
    training = PairSampler(playlists[order[held:]], playlists, settings.seed)
    judge = PairSampler(playlists[order[:held]], playlists, settings.seed + 1)
    trained, auc = _train(windows, training, judge, settings)
    mean, deviation = _moments(windows)
    weight = trained / deviation
    # the classifier's inner product is taken about the training tracks' mean
    return _scaled(
        "siamese", weight, -weight @ mean, windows.means(),
        {**about, "playlists": int(playlists.shape[0]), "held_out_roc_auc": auc,
         "settings": vars(settings)},
    )  # fmt: skip


def _moments(windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    deviation = windows.vectors.std(0)
    return windows.vectors.mean(0), np.where(deviation > 1e-6, deviation, 1.0)


def _train(
    windows: Windows, training: PairSampler, judge: PairSampler, settings: SiameseSettings
) -> tuple[np.ndarray, float]:
    """The best projection of standardised windows (8, dimensions), and its held-out ROC-AUC."""
    mean, deviation = _moments(windows)
    x = torch.from_numpy((windows.vectors - mean) / deviation)
    generator = torch.Generator().manual_seed(settings.seed)
    width = x.shape[1]
    weight = torch.randn(DIMENSIONS, width, generator=generator) / width**0.5
    bias = torch.zeros(())
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    optimizer = torch.optim.AdamW(
        parameters, settings.learning_rate, weight_decay=settings.weight_decay
    )
    best, kept, waited = -1.0, weight.detach().clone(), 0
    for step in range(settings.steps):
        u, v, labels = training.pairs(settings.batch_size, step)
        logits = _logits(weight, bias, x[_draw(windows, u, step)], x[_draw(windows, v, ~step)])
        loss = F.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % settings.every == 0:
            auc = _held_out(weight, windows, x, judge)
            best, kept, waited = (
                (auc, weight.detach().clone(), 0) if auc > best else (best, kept, waited + 1)
            )
            if waited >= settings.patience:
                break
    return kept.numpy(), best


def _logits(weight: Tensor, bias: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return ((a @ weight.T) * (b @ weight.T)).sum(1) / DIMENSIONS**0.5 + bias


def _draw(windows: Windows, tracks: np.ndarray, step: int) -> np.ndarray:
    """A random window of each track; `~step` for a pair's other side draws others."""
    rng = np.random.default_rng([abs(step), step < 0])
    counts = np.diff(windows.offsets)[tracks]
    return windows.offsets[tracks] + (rng.random(len(tracks)) * counts).astype(int)


@torch.no_grad()
def _held_out(weight: Tensor, windows: Windows, x: Tensor, judge: PairSampler) -> float:
    from sklearn.metrics import roc_auc_score

    u, v, labels = judge.pairs(VALIDATION_PAIRS, 0)
    a, b = x[_draw(windows, u, 0)], x[_draw(windows, v, ~0)]
    return float(roc_auc_score(labels, _logits(weight, torch.zeros(()), a, b).numpy()))
