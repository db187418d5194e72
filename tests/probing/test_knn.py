import numpy as np

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.probing.knn import knn_scores


def test_equal_to_a_loop():
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


def test_with_fewer_rows_than_neighbours():
    assert knn_scores(np.eye(3), np.eye(3), np.eye(3), 10).shape == (3, 3)


def test_neighbours_without_a_label_do_not_count():
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(50, 6)), rng.normal(size=(20, 6))
    y = rng.integers(0, 2, (50, 2))
    y[rng.random(50) < 0.6, 1] = UNLABELLED
    y[rng.permutation(50)[:3], 1] = 1
    whole, half = (knn_scores(train, t, test, 5) for t in (y % UNLABELLED, y))
    np.testing.assert_allclose(whole[:, 0], half[:, 0], rtol=1e-6)
    among = knn_scores(train, y != UNLABELLED, test, 5)[:, 1]
    expected = np.full(20, (y[:, 1] == 1).sum() / (y[:, 1] != UNLABELLED).sum())
    found = among > 0
    expected[found] = whole[found, 1] / among[found]
    assert 0 < found.sum() < 20
    np.testing.assert_allclose(half[:, 1], expected, rtol=1e-6)
