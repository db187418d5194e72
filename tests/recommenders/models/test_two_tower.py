"""The two-tower model: its loss in float64, its pairs, tracks that it was not trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists, playlists_of
from ssl_audio.recommenders.models.two_tower import (
    ContentBatches,
    ContentPairs,
    TwoTower,
    load_two_tower,
)
from ssl_audio.settings.recommend import TwoTowerSettings

TRACKS, TRAINED, WIDTH = 80, 60, 6  # the others are in no playlist
SMALL = TwoTowerSettings(dimensions=8, hidden=16, dropout=0.0, learning_rate=1e-2)


def playlists() -> Playlists:
    """Each keeps to the even or to the odd tracks; some repeat one."""
    rng = np.random.default_rng(0)
    own = [(2 * rng.permutation(TRAINED // 2)[:9] + k % 2).tolist() for k in range(60)]
    return playlists_of([[*one, one[k % 4]] for k, one in enumerate(own)])


def audio() -> np.ndarray:
    """One of six dimensions tells even tracks from odd ones."""
    found = np.random.default_rng(1).normal(size=(TRACKS, WIDTH)).astype(np.float32)
    found[:, 2] += 3 * (np.arange(TRACKS) % 2)
    return found


def batches(size: int = 64, has_audio: np.ndarray | None = None) -> ContentBatches:
    known = np.ones(TRACKS, bool) if has_audio is None else has_audio
    return ContentBatches(playlists(), audio(), known, size)


def made() -> TwoTower:
    torch.manual_seed(0)
    model = TwoTower(WIDTH, SMALL)
    model.standardise.fit(audio()[:TRAINED])
    return model


def test_the_loss_is_the_corrected_softmax() -> None:
    model, batch = made(), batches(20)(0)
    x, y = (model(part).detach().double().numpy() for part in (batch.left, batch.right))
    np.testing.assert_allclose((x**2).sum(1), 1, rtol=1e-6)
    tracks, log_q = batch.tracks.numpy(), batch.log_q.double().numpy()
    assert len(set(tracks.tolist())) < 20  # a track that is twice in the batch
    losses = []
    for k in range(20):
        others = [j for j in range(20) if j == k or tracks[j] != tracks[k]]
        scores = y[others] @ x[k] / SMALL.temperature - log_q[others]
        own = x[k] @ y[k] / SMALL.temperature - log_q[k]
        losses.append(np.log(np.exp(scores).sum()) - own)
    assert float(model.loss(batch)["total"].detach()) == pytest.approx(np.mean(losses), rel=1e-5)


def test_pairs_are_of_one_playlist_and_end_with_a_track_at_its_probability() -> None:
    has_audio = np.arange(TRACKS) != 4
    source, sound = batches(20_000, has_audio), audio()
    batch = source(3)
    right = batch.tracks.numpy()
    assert np.array_equal(batch.right, sound[right])
    left = np.array([np.flatnonzero((sound == one).all(1))[0] for one in batch.left.numpy()])
    assert (left != right).all() and not (right == 4).any() and not (left == 4).any()
    together = np.zeros((TRACKS, TRACKS), bool)
    for k in range(len(playlists())):
        together[np.ix_(playlists()[k], playlists()[k])] = True
    assert together[left, right].all()
    probability = np.exp(source.log_q)
    assert probability.sum() == pytest.approx(1, abs=1e-5) and not probability[TRAINED:].any()
    possible = probability > 0
    counts = np.bincount(right, minlength=TRACKS)[possible]
    expected = probability[possible].astype(np.float64)
    assert chisquare(counts, 20_000 * expected / expected.sum()).pvalue > 1e-3
    assert all(torch.equal(a, b) for a, b in zip(batch, batches(20_000, has_audio)(3), strict=True))


def test_new_tracks_are_near_those_of_their_group(tmp_path: Path) -> None:
    model, source = made(), batches()
    (optimizer,) = model.optimizers()
    for step in range(60):
        optimizer.zero_grad()
        model.loss(source(step))["total"].backward()
        optimizer.step()
    vectors = model.eval().vectors(audio())
    group = np.arange(TRACKS) % 2
    cosine = vectors[TRAINED:] @ vectors[:TRAINED].T
    same = group[TRAINED:, None] == group[:TRAINED]
    assert cosine[same].mean() > cosine[~same].mean() + 0.5
    model.save(tmp_path / "model")
    assert np.array_equal(load_two_tower(tmp_path / "model").vectors(audio()), vectors)
    with pytest.raises(SslAudioError, match="5 dimensions.*trained with 6"):
        model.vectors(audio()[:, :5])


def test_a_popular_track_is_not_pushed_away() -> None:
    """At q as drawn, the loss of equal vectors is the entropy of the pairs' ends."""
    model = made()
    ends = torch.tensor([0, 1, 2])
    same = audio()[[0, 0, 0]]
    q = torch.tensor([0.5, 0.25, 0.25])
    batch = ContentPairs(torch.from_numpy(same), torch.from_numpy(same), ends, q.log())
    chosen = (1 / q) / (1 / q).sum()
    expected = -chosen.log().mean()
    torch.testing.assert_close(model.loss(batch)["total"].detach(), expected)


def test_playlists_without_a_pair_are_refused() -> None:
    with pytest.raises(SslAudioError, match="no pairs"):
        ContentBatches(playlists_of([[1], [2, 2]]), audio(), np.ones(TRACKS, bool), 4)
