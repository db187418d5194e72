"""Embeddings in two dimensions, for the map of the test tracks."""

from __future__ import annotations

import numpy as np

MAX_TSNE_ROWS = 5000  # t-SNE of more takes minutes


def project(embeddings: np.ndarray, seed: int = 0) -> tuple[np.ndarray, str]:
    """t-SNE of the first 50 principal components; the first two components where t-SNE has no
    meaning (fewer than 10 rows) or takes too long (more than 5000).

    Args:
        embeddings: (rows, dimensions), finite.

    Returns:
        (rows, 2), and the method: "t-SNE", "PCA", or "order" of a single row or dimension.
    """
    from sklearn.decomposition import PCA

    rows, dimensions = embeddings.shape
    standard = (embeddings - embeddings.mean(0)) / np.maximum(embeddings.std(0), 1e-6)
    if min(rows, dimensions) < 2:
        return np.column_stack([np.arange(rows), np.zeros(rows)]), "order"
    if not 10 <= rows <= MAX_TSNE_ROWS:
        return PCA(2, random_state=seed).fit_transform(standard), "PCA"
    from sklearn.manifold import TSNE

    reduced = PCA(min(50, rows, dimensions), random_state=seed).fit_transform(standard)
    perplexity = min(30.0, (rows - 1) / 3)
    method = TSNE(2, perplexity=perplexity, random_state=seed, init="pca")
    return method.fit_transform(reduced), "t-SNE"
