"""LightGCN against PyTorch Geometric, its loss in float64, its triples, learning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.models.lightgcn import LightGCN, TripleBatches
from ssl_audio.recommenders.scorers import InnerProduct
from ssl_audio.recommenders.training import fit
from ssl_audio.settings.recommend import FitSettings, LightGCNSettings

TRACKS = 40  # the last two are in no playlist
SMALL = LightGCNSettings(dimensions=8, layers=2, batch_size=300, regularisation=0.01)
rng = np.random.default_rng(0)
LISTS = [(2 * rng.permutation(19)[:8] + k % 2).tolist() for k in range(50)]  # even or odd tracks
PLAYLISTS = playlists_of([[*one, one[0]] for one in LISTS])  # the first one twice


def test_vectors_are_those_of_pytorch_geometric() -> None:
    geometric = pytest.importorskip("torch_geometric.nn.models")
    ours = LightGCN(PLAYLISTS, TRACKS, SMALL, seed=1)
    theirs = geometric.LightGCN(len(LISTS) + TRACKS, 8, 2)
    with torch.no_grad():
        theirs.embedding.weight.copy_(torch.cat([ours.playlists, ours.tracks]))
    owners = torch.arange(len(LISTS)).repeat_interleave(8)
    tracks = torch.tensor(LISTS).flatten() + len(LISTS)
    both = torch.cat([torch.stack([owners, tracks]), torch.stack([tracks, owners])], 1)
    torch.testing.assert_close(torch.cat(ours()), theirs.get_embedding(both), rtol=1e-5, atol=1e-6)


def test_the_loss_is_bpr_with_the_norms_of_the_first_vectors() -> None:
    model, batch = LightGCN(PLAYLISTS, TRACKS, SMALL), TripleBatches(PLAYLISTS, TRACKS, 20)(4)
    u, i, j = (part.numpy() for part in batch)
    lists, tracks = (part.detach().double().numpy() for part in model())
    first, learnt = (p.detach().double().numpy() for p in (model.playlists, model.tracks))
    margins = (lists[u] * (tracks[i] - tracks[j])).sum(1)
    norms = ((first[u] ** 2).sum() + (learnt[i] ** 2).sum() + (learnt[j] ** 2).sum()) / 2 / len(u)
    expected = np.log(1 + np.exp(-margins)).mean() + 0.01 * norms
    assert float(model.loss(batch)["total"].detach()) == pytest.approx(expected, rel=1e-5)


QUIET = """
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.models.lightgcn import LightGCN, TripleBatches
from ssl_audio.settings.recommend import LightGCNSettings
lists = playlists_of([[0, 1, 2], [2, 3]])
LightGCN(lists, 5, LightGCNSettings()).loss(TripleBatches(lists, 5, 9)(0))["total"].backward()
"""


def test_no_warning_of_sparse_tensors_is_printed() -> None:
    """PyTorch prints it once in a process."""
    done = subprocess.run([sys.executable, "-c", QUIET], check=True, capture_output=True, text=True)
    assert "invariant" not in done.stderr


def test_triples_are_of_a_playlist_its_track_and_another() -> None:
    batches = TripleBatches(PLAYLISTS, TRACKS, 4000, seed=2)
    playlists, own, other = (part.numpy() for part in batches(3))
    assert 2000 < len(own) < 4000
    for u, i, j in zip(playlists, own, other, strict=True):
        assert i in LISTS[u] and j not in LISTS[u]
    assert set(other.tolist()) == set(range(38))
    again = TripleBatches(PLAYLISTS, TRACKS, 4000, seed=2)(3)
    assert all(torch.equal(a, b) for a, b in zip(again, batches(3), strict=True))


def test_it_completes_playlists_that_it_was_not_trained_on(tmp_path: Path) -> None:
    model = LightGCN(PLAYLISTS, TRACKS, LightGCNSettings(dimensions=8, learning_rate=0.05))
    batches = TripleBatches(PLAYLISTS, TRACKS, 300)
    fit(model, batches, tmp_path, FitSettings(accelerator="cpu"), steps=30)
    scores = InnerProduct(model.vectors()).score(playlists_of([[0, 4, 8], [1, 7, 3]]), None)
    best = np.argsort(-scores[:, :38], 1)[:, :15] % 2
    assert (best == [[0], [1]]).mean() > 0.9
