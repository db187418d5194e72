"""Nearest neighbours: exact against scikit-learn and brute force, approximate against exact."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from ssl_audio.io.errors import SslAudioError
from ssl_audio.stores import neighbours
from ssl_audio.stores.neighbours import NeighbourIndex

VECTORS = np.random.default_rng(0).normal(size=(500, 16)).astype(np.float32)


def lengths(count, dimensions=16):
    """Vectors with norms from 1 to 5, as a trained output layer has, and queries."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(count, dimensions)) * rng.uniform(1, 5, (count, 1))
    return vectors.astype(np.float32), rng.normal(size=(50, dimensions)).astype(np.float32)


@pytest.mark.parametrize("scores", [7, 100, 1 << 24])
def test_exact_cosine_is_scikit_learns(monkeypatch, scores):
    """However few inner products are computed at a time."""
    monkeypatch.setattr(neighbours, "MAX_SCORES", scores)
    peer = NearestNeighbors(n_neighbors=7, metric="cosine").fit(VECTORS)
    queries = np.random.default_rng(1).normal(size=(20, 16)).astype(np.float32)
    distances, expected = peer.kneighbors(queries)
    rows, similarities = NeighbourIndex(VECTORS, "cosine").nearest(queries, 7)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(similarities, 1 - distances, atol=1e-5)


@pytest.mark.parametrize("scores", [7, 100, 1 << 24])
def test_exact_inner_products_are_brute_force(monkeypatch, scores):
    monkeypatch.setattr(neighbours, "MAX_SCORES", scores)
    vectors, queries = lengths(90, 8)
    rows, products = NeighbourIndex(vectors, "inner_product").nearest(queries, 12)
    expected = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    order = np.argsort(-expected, axis=1)[:, :12]
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_allclose(products, np.take_along_axis(expected, order, 1), rtol=1e-4)


@pytest.mark.parametrize("metric", ["cosine", "inner_product"])
def test_a_graph_finds_nearly_all(metric):
    pytest.importorskip("usearch", reason="usearch is not installed")
    vectors, queries = lengths(3000)
    exact, best = NeighbourIndex(vectors, metric).nearest(queries, 10)
    found, similarities = NeighbourIndex(vectors, metric, approximate=True).nearest(queries, 10)
    assert np.mean([len(set(a) & set(b)) for a, b in zip(exact, found, strict=True)]) > 9.5
    assert (np.diff(similarities, axis=1) <= 0).all() and (similarities <= best + 1e-4).all()


@pytest.mark.parametrize("approximate", [False, True])
def test_cosines_are_within_one(approximate):
    vectors = np.random.default_rng(5).normal(size=(300, 40)).astype(np.float32)
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (directions @ directions.T).max() > 1
    index = NeighbourIndex(np.vstack([vectors, -vectors]), "cosine", approximate)
    _, cosines = index.nearest(vectors, 600)
    found = cosines[np.isfinite(cosines)]
    assert -1 <= found.min() < -0.9999 and 0.9999 < found.max() <= 1


@pytest.mark.parametrize("approximate", [False, True])
def test_fewer_vectors_than_the_count(approximate):
    index = NeighbourIndex(np.eye(3, dtype=np.float32), "inner_product", approximate)
    rows, products = index.nearest(np.array([[1.0, 3.0, 2.0]]), 5)
    assert rows.tolist() == [[1, 2, 0]] and products.tolist() == [[3.0, 2.0, 1.0]]
    empty = NeighbourIndex(np.zeros((0, 3), np.float32), "cosine", approximate)
    assert empty.nearest(np.ones((2, 3)), 4)[0].shape == (2, 0)


def test_of_equal_vectors_the_first_rows_come_first():
    rows, _ = NeighbourIndex(np.ones((9, 2), np.float32), "cosine").nearest(np.ones((1, 2)), 9)
    assert rows.tolist() == [list(range(9))]


def test_refusals():
    index = NeighbourIndex(VECTORS, "cosine")
    with pytest.raises(SslAudioError, match="16 dimensions, the query 4"):
        index.nearest(VECTORS[:1, :4], 3)
    with pytest.raises(SslAudioError, match="k=0"):
        index.nearest(VECTORS[:1], 0)
