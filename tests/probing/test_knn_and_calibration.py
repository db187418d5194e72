"""The kNN probe against a loop; calibration against its formula."""

import numpy as np
import pytest

from ssl_audio.probing import knn
from ssl_audio.probing.calibration import calibration
from ssl_audio.probing.knn import knn_scores


def test_knn_equals_a_loop(monkeypatch):
    monkeypatch.setattr(knn, "ROWS", 7)
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(50, 6)) + 9, rng.normal(size=(20, 6)) + 9
    y = rng.random((50, 3)) < 0.3
    centre = train.mean(0)
    found = knn_scores(train, y, test, 5)
    for row, score in zip(test, found, strict=True):
        a = train - centre
        similarity = a @ (row - centre)
        similarity /= np.linalg.norm(a, axis=1) * np.linalg.norm(row - centre)
        near = sorted(range(50), key=lambda i: -similarity[i])[:5]
        weight = np.exp(similarity[near] / 0.07)
        np.testing.assert_allclose(score, weight @ y[near] / weight.sum(), rtol=1e-5, atol=1e-7)


def test_knn_with_fewer_rows_than_neighbours():
    assert knn_scores(np.eye(3), np.eye(3), np.eye(3), 10).shape == (3, 3)


def test_calibration_by_hand():
    p = np.array([[0.05], [0.05], [0.95], [0.95]])
    y = np.array([[0], [1], [1], [1]])
    found = calibration(y, p, bins=2)
    assert found["ece"] == pytest.approx((2 * abs(0.05 - 0.5) + 2 * abs(0.95 - 1)) / 4)
    assert found["brier"] == pytest.approx((0.0025 * 3 + 0.9025) / 4)
    assert [b["count"] for b in found["bins"]] == [2, 2]


def test_true_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    p = rng.random((20_000, 2))
    assert calibration(rng.random(p.shape) < p, p)["ece"] < 0.02
    with pytest.raises(ValueError, match="0 to 1"):
        calibration(np.zeros((1, 1)), np.full((1, 1), 1.5))
