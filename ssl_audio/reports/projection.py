"""Embeddings in the plane, for a map that people look at."""

from __future__ import annotations

import numpy as np

MOST_TSNE = 5000  # rows: beyond, t-SNE takes minutes


def project(embeddings: np.ndarray, seed: int = 0) -> tuple[np.ndarray, str]:
    """Two coordinates a row, and the name of the method.

    t-SNE of the 50 first principal components; the two first components alone for fewer than 10
    rows, where t-SNE means nothing, and for more than 5000.

    Args:
        embeddings: (rows, dimensions), finite.
        seed: of t-SNE.

    Returns:
        (rows, 2) and "t-SNE" or "PCA".
    """
    from sklearn.decomposition import PCA

    rows, dimensions = embeddings.shape
    standard = (embeddings - embeddings.mean(0)) / np.maximum(embeddings.std(0), 1e-6)
    if min(rows, dimensions) < 2:
        return np.column_stack([np.arange(rows), np.zeros(rows)]), "order"
    if not 10 <= rows <= MOST_TSNE:
        return PCA(2, random_state=seed).fit_transform(standard), "PCA"
    from sklearn.manifold import TSNE

    reduced = PCA(min(50, rows, dimensions), random_state=seed).fit_transform(standard)
    perplexity = min(30.0, (rows - 1) / 3)
    method = TSNE(2, perplexity=perplexity, random_state=seed, init="pca")
    return method.fit_transform(reduced), "t-SNE"
