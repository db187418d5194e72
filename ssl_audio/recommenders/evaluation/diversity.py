"""Diversity and relevance of lists of neighbours: M2GRL, section 6.1."""

import numpy as np
import scipy.sparse as sp

from ssl_audio.recommenders.data.collection import Playlists
from ssl_audio.recommenders.evaluation.ranking import highest

BLOCK = 1024  # queries scored at a time


def nearest(vectors: np.ndarray, k: int, euclidean: bool) -> np.ndarray:
    """The k nearest rows of each row, without itself, the nearest first.

    Args:
        vectors: (items, d).
        k: 1 to items - 1.
        euclidean: by Euclidean distance; otherwise by inner product.

    Returns:
        (items, k) rows.
    """
    squared = (vectors**2).sum(1)
    found = []
    for start in range(0, len(vectors), BLOCK):
        products = vectors[start : start + BLOCK] @ vectors.T
        scores = 2 * products - squared if euclidean else products
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -np.inf
        found.append(highest(scores, k))
    return np.concatenate(found)


def diversity_figures(
    neighbours: np.ndarray, categories: sp.csr_matrix, sequences: Playlists, window: int = 9
) -> dict[str, np.ndarray]:
    """Metrics of lists of neighbours, (items with a category,) each.

    - new: share of neighbours that share no category with the query, 0 to 1.
    - entropy: of the categories of a list, in bits; a neighbour is divided among its categories.
    - hits: share of neighbours that occur within the window of the query in the sequences.
    - new_hits: share with both. Of the means, new_hits / hits is section 6.1's discovery rate, with
      co-occurrence in place of clicks.

    Args:
        neighbours: (items, k) rows.
        categories: (items, categories), see `category_matrix`.
        sequences: of items; held-out ones measure relevance.
        window: within which items co-occur, in positions.
    """
    known = np.flatnonzero(np.diff(categories.indptr) > 0)
    lists = neighbours[known]
    query, flat = np.repeat(known, lists.shape[1]), lists.ravel()
    new = ~share_category(categories, query, flat)
    together = co_occurrence(sequences, categories.shape[0], window)
    hit = np.asarray(together[query, flat]).ravel() > 0

    def shares(found: np.ndarray) -> np.ndarray:
        return found.reshape(lists.shape).mean(1)

    return {
        "new": shares(new),
        "entropy": _entropies(lists, categories),
        "hits": shares(hit),
        "new_hits": shares(new & hit),
    }


def category_matrix(links: tuple[np.ndarray, np.ndarray], sizes: tuple[int, int]) -> sp.csr_matrix:
    """(items, categories) int32, 1 where an item has a category.

    Args:
        links: (links,) items and (links,) categories; repeated links count once.
        sizes: number of items and of categories.
    """
    keys = np.unique(np.asarray(links[0], np.int64) * sizes[1] + links[1])
    owner, category = np.divmod(keys, sizes[1])
    return sp.csr_matrix((np.ones(len(keys), np.int32), (owner, category)), shape=sizes)


def share_category(categories: sp.csr_matrix, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(pairs,) bool, True where two items have a category in common."""
    return np.asarray(categories[a].multiply(categories[b]).sum(1)).ravel() > 0


def co_occurrence(sequences: Playlists, items: int, window: int) -> sp.csr_matrix:
    """(items, items) symmetric: how often two items are within the window of one sequence."""
    total = sp.csr_matrix((items, items), dtype=np.int64)
    tracks, owners = sequences.tracks, sequences.owners
    for gap in range(1, window + 1):
        inside = owners[gap:] == owners[:-gap]
        pair = tracks[:-gap][inside], tracks[gap:][inside]
        total += sp.csr_matrix((np.ones(len(pair[0]), np.int64), pair), shape=(items, items))
    return total + total.T


def _entropies(lists: np.ndarray, categories: sp.csr_matrix) -> np.ndarray:
    """(lists,) bits."""
    count = np.maximum(np.diff(categories.indptr), 1)
    divided = sp.diags(1.0 / count) @ categories
    rows = np.repeat(np.arange(len(lists)), lists.shape[1])
    shape = (len(lists), categories.shape[0])
    mass = sp.csr_matrix((np.ones(lists.size), (rows, lists.ravel())), shape=shape) @ divided
    mass = sp.csr_matrix(mass)
    owner = np.repeat(np.arange(len(lists)), np.diff(mass.indptr))
    total = np.bincount(owner, mass.data, len(lists))
    share = mass.data / total[owner]
    return np.bincount(owner, -share * np.log2(share), len(lists))
