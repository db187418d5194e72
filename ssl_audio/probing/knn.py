"""The kNN probe: tags of the nearest training tracks."""

import numpy as np

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.stores.neighbours import NeighbourIndex

TEMPERATURE = 0.07


def knn_scores(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, k: int = 10
) -> np.ndarray:
    """Tags of the k nearest training tracks by cosine similarity, weighted by it.

    Wu et al. 2018, "Unsupervised feature learning via non-parametric instance discrimination",
    section 3.4: weights are exp(similarity / 0.07). Features are centred on the training mean
    first, since all cosines of non-negative embeddings are close to 1.

    Args:
        train_x, test_x: (tracks, dimensions).
        train_y: (tracks, tags): 0, 1 or UNLABELLED. A tag is scored by the neighbours that are
            labelled; without any, by its frequency.
        k: neighbours; all training tracks if there are fewer.

    Returns:
        (test tracks, tags) 0 to 1.
    """
    centre = train_x.mean(0)
    index = NeighbourIndex(train_x - centre, "cosine")
    nearest, similarity = index.nearest(test_x - centre, k)
    weight = np.exp(similarity / TEMPERATURE)
    weight /= weight.sum(1, keepdims=True)
    labelled = train_y != UNLABELLED
    if labelled.all():
        return np.einsum("rk,rkt->rt", weight, train_y[nearest])
    found = np.einsum("rk,rkt->rt", weight, (train_y == 1)[nearest])
    among = np.einsum("rk,rkt->rt", weight, labelled[nearest])
    frequency = (train_y == 1).sum(0) / np.maximum(labelled.sum(0), 1)
    return np.where(among > 0, found / np.where(among > 0, among, 1), frequency)
