"""Embeddings in two dimensions, for the maps of the report and of the explorer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MAX_LANDMARKS = 5000  # rows that t-SNE places; of more it takes minutes
_COMPONENTS = 50  # of PCA, before t-SNE
_BLOCK = 8192  # rows at a time
_NEAREST, _POWER = 5, 8  # landmarks that place another row, and how their weight falls
# seconds on two processors: at the start, per landmark, and per row
_COSTS = {"t-SNE": (3.0, 4e-3, 2e-4), "PCA": (0.5, 0.0, 0.0), "order": (0.0, 0.0, 0.0)}


def method_for(rows: int, dimensions: int) -> str:
    """How embeddings are projected: "t-SNE"; "PCA" with fewer than 10 rows; "order" of a single
    row or dimension.
    """
    if min(rows, dimensions) < 2:
        return "order"
    return "t-SNE" if rows >= 10 else "PCA"


def estimated_seconds(rows: int, dimensions: int) -> float:
    """About how long `project` takes on two processors."""
    start, per_landmark, per_row = _COSTS[method_for(rows, dimensions)]
    return start + per_landmark * min(rows, MAX_LANDMARKS) + per_row * rows


def project(
    embeddings: np.ndarray, seed: int = 0, preview: Callable[[np.ndarray], None] | None = None
) -> tuple[np.ndarray, str]:
    """Two dimensions of embeddings, the same for the same embeddings and seed.

    t-SNE (van der Maaten and Hinton 2008) is computed from the first 50 principal components of
    the standardised embeddings. It places a sample of 5000 rows, the landmarks; each other row is
    placed at the mean of its 5 nearest landmarks, weighted by distance ** -8.

    Args:
        embeddings: (rows, dimensions), finite.
        preview: called with the first two principal components, (rows, 2), before t-SNE.

    Returns:
        (rows, 2), and the method, see `method_for`.
    """
    rows, dimensions = embeddings.shape
    method = method_for(rows, dimensions)
    if method == "order":
        return np.column_stack([np.arange(rows), np.zeros(rows)]), method
    landmarks = np.arange(rows)
    if rows > MAX_LANDMARKS:
        drawn = np.random.default_rng(seed).choice(rows, MAX_LANDMARKS, replace=False)
        landmarks = np.sort(drawn)
    components = _components(embeddings, landmarks, seed)
    if method == "PCA":
        return components[:, :2], method
    if preview is not None:
        preview(components[:, :2])
    places = np.empty((rows, 2), np.float32)
    places[landmarks] = _tsne(components[landmarks], seed)
    if len(others := np.setdiff1d(np.arange(rows), landmarks)):
        places[others] = _placed(components[others], components[landmarks], places[landmarks])
    return places, method


def _components(embeddings: np.ndarray, landmarks: np.ndarray, seed: int) -> np.ndarray:
    """(rows, up to 50) principal components of standardised embeddings, fitted to landmarks."""
    from sklearn.decomposition import PCA

    sample = embeddings[landmarks]
    mean, deviation = sample.mean(0), np.maximum(sample.std(0), 1e-6)
    pca = PCA(min(_COMPONENTS, *sample.shape), random_state=seed).fit((sample - mean) / deviation)
    blocks = [embeddings[start : start + _BLOCK] for start in range(0, len(embeddings), _BLOCK)]
    return np.concatenate([pca.transform((block - mean) / deviation) for block in blocks])


def _tsne(components: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(components) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, random_state=seed, init="pca")
    found: np.ndarray = tsne.fit_transform(components)
    return found


def _placed(components: np.ndarray, landmarks: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(n, 2) places of (n, d) components, among the (m, 2) places of the (m, d) landmarks."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=_NEAREST).fit(landmarks)
    distances, nearest = search.kneighbors(components)
    weights = 1 / np.maximum(distances, 1e-9) ** _POWER
    weights /= weights.sum(1, keepdims=True)
    return np.einsum("nk,nkd->nd", weights, places[nearest])
