"""Embeddings in two dimensions, for the maps of the report and of the explorer."""

from importlib.util import find_spec

import numpy as np

MAX_TSNE_ROWS = 5000  # t-SNE of more takes minutes
_COMPONENTS = 50  # of PCA, before t-SNE and UMAP
# seconds on two processors: at the start, and per row
_COSTS = {"t-SNE": (3.0, 4e-3), "UMAP": (25.0, 1.5e-3), "PCA": (0.5, 1e-4), "order": (0.0, 0.0)}


def method_for(rows: int, dimensions: int) -> str:
    """How embeddings are projected: "t-SNE"; with more than 5000 rows "UMAP", if umap-learn is
    installed; "PCA" without it or with fewer than 10 rows; "order" of a single row or dimension.
    """
    if min(rows, dimensions) < 2:
        return "order"
    if 10 <= rows <= MAX_TSNE_ROWS:
        return "t-SNE"
    return "UMAP" if rows > MAX_TSNE_ROWS and find_spec("umap") else "PCA"


def estimated_seconds(rows: int, dimensions: int) -> float:
    """About how long `project` takes on two processors."""
    start, per_row = _COSTS[method_for(rows, dimensions)]
    return start + per_row * rows


def project(embeddings: np.ndarray, seed: int = 0) -> tuple[np.ndarray, str]:
    """Two dimensions of embeddings, the same for the same embeddings and seed.

    t-SNE (van der Maaten and Hinton 2008) and UMAP (McInnes et al. 2018) are computed from the
    first 50 principal components of the standardised embeddings.

    Args:
        embeddings: (rows, dimensions), finite.

    Returns:
        (rows, 2), and the method, see `method_for`.
    """
    from sklearn.decomposition import PCA

    rows, dimensions = embeddings.shape
    method = method_for(rows, dimensions)
    if method == "order":
        return np.column_stack([np.arange(rows), np.zeros(rows)]), method
    standard = (embeddings - embeddings.mean(0)) / np.maximum(embeddings.std(0), 1e-6)
    if method == "PCA":
        return PCA(2, random_state=seed).fit_transform(standard), method
    reduced = PCA(min(_COMPONENTS, rows, dimensions), random_state=seed).fit_transform(standard)
    if method == "UMAP":
        from umap import UMAP

        found = UMAP(2, init="pca", random_state=seed, n_jobs=1).fit_transform(reduced)
        return np.asarray(found), method
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (rows - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, random_state=seed, init="pca")
    return tsne.fit_transform(reduced), method
