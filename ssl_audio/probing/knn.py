"""The kNN probe: what a track's nearest training tracks are tagged with."""

from __future__ import annotations

import numpy as np

ROWS = 1024  # test rows compared at a time: bounds memory at 55,000 tracks


def knn_scores(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, k: int = 10
) -> np.ndarray:
    """Scores by cosine similarity to the k nearest training rows, weighted by it.

    Wu et al. 2018, "Unsupervised feature learning via non-parametric instance discrimination",
    section 3.4, with weights of exp(similarity / 0.07). Features are centred on the training rows'
    mean first: without, all cosines of embeddings behind a ReLU are close to 1.

    Args:
        train_x, test_x: (rows, dimensions).
        train_y: (rows, tags), 0 or 1.
        k: neighbours; fewer where there are fewer training rows.

    Returns:
        (test rows, tags) 0 to 1.
    """
    centre = train_x.mean(0)
    train, test = _unit(train_x - centre), _unit(test_x - centre)
    k = min(k, len(train))
    scores = np.empty((len(test), train_y.shape[1]), np.float32)
    for first in range(0, len(test), ROWS):
        similarity = test[first : first + ROWS] @ train.T
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        weight = np.exp(np.take_along_axis(similarity, nearest, 1) / 0.07)
        weight /= weight.sum(1, keepdims=True)
        scores[first : first + ROWS] = np.einsum("rk,rkt->rt", weight, train_y[nearest])
    return scores


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
