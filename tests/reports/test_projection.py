"""Embeddings in two dimensions."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from ssl_audio.reports import projection
from ssl_audio.reports.projection import project


def clusters(rows: int, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """(rows, 12) embeddings, and the cluster of each."""
    draw = np.random.default_rng(0)
    own = draw.integers(count, size=rows)
    centres = 6 * draw.normal(size=(count, 12))
    return (centres[own] + draw.normal(size=(rows, 12))).astype(np.float32), own


def neighbours(places: np.ndarray, count: int) -> np.ndarray:
    search = NearestNeighbors(n_neighbors=count + 1).fit(places)
    found: np.ndarray = search.kneighbors(places, return_distance=False)[:, 1:]
    return found


def test_rows_beside_the_landmarks_are_placed_among_their_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embeddings, own = clusters(1500)
    monkeypatch.setattr(projection, "MAX_LANDMARKS", 300)
    monkeypatch.setattr(projection, "_BLOCK", 400)
    first: list[np.ndarray] = []
    places, method = project(embeddings, 0, first.append)
    assert method == "t-SNE" and places.shape == (1500, 2) and np.isfinite(places).all()
    assert (own[neighbours(places, 10)] == own[:, None]).mean() > 0.98
    again, _ = project(embeddings, 0)
    np.testing.assert_array_equal(places, again)
    # neighbours in all dimensions are far more often neighbours on the map than by chance (3 %),
    # and more often than by two principal components
    near = neighbours(embeddings, 10)
    kept = [
        np.mean([len(set(a) & set(b)) / 10 for a, b in zip(near, neighbours(p, 50), strict=True)])
        for p in (places, first[0])
    ]
    assert kept[0] > 0.3 and kept[0] > kept[1]


def test_a_row_that_equals_a_landmark_is_placed_there(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, _ = clusters(60)
    monkeypatch.setattr(projection, "MAX_LANDMARKS", 60)
    twice = np.concatenate([embeddings, embeddings])
    landmarks = np.sort(np.random.default_rng(0).choice(120, 60, replace=False))
    places, _ = project(twice)
    known = set(landmarks.tolist())
    pairs = [k for k in range(60) if (k in known) != (k + 60 in known)]
    assert len(pairs) > 10
    spread = places.std()
    np.testing.assert_allclose(places[pairs], places[[k + 60 for k in pairs]], atol=1e-3 * spread)
