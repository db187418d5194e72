import numpy as np

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
