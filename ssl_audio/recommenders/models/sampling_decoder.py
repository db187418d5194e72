"""Playlists written on by a model: top-k sampling over the whole catalogue, without repeats.

The k most likely tracks are those whose vectors have the largest inner products with the state that
predicts (trecs, section Inference): a search, exact or in a graph, not a softmax over all tracks.
Only tracks are searched, so `<start>`, `<unk>` and `<eop>` have no chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists, playlists_of
from ssl_audio.recommenders.models.transformer import PlaylistTransformer

SCORED = 1 << 22  # inner products made at a time: 16 MB
NONE = -2  # in a row of found tracks: no more


class TrackIndex:
    """The tracks whose vectors have the largest inner product with a query.

    A graph search needs neighbours that a distance defines, which the inner product is not. Each
    vector v is therefore lengthened by sqrt(M^2 - |v|^2), M the largest norm, and each query by 0:
    all are then as long, and the nearest by angle has the largest inner product (Bachrach et al.
    2014, "Speeding up the Xbox recommender system", section 3.1).

    Args:
        rows: (n,) rows of the catalogue.
        vectors: (n, dimensions).
        approximate: build an HNSW graph, for millions of tracks.
        breadth: tracks that a graph search looks at, at least; more finds more of the nearest.

    Raises:
        SslAudioError: a graph is wanted and usearch is missing.
    """

    def __init__(
        self, rows: np.ndarray, vectors: Tensor, approximate: bool = False, breadth: int = 256
    ) -> None:
        self.rows = rows
        self.vectors = vectors
        self.breadth = breadth
        self.graph = _graph(vectors.cpu().numpy(), breadth) if approximate else None

    def nearest(self, queries: Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The best tracks of each query, the best first.

        Args:
            queries: (n, dimensions).
            count: how many.

        Returns:
            (n, count) rows of the catalogue, below 0 where the index has no more, and (n, count)
            inner products, -inf there.
        """
        kept = min(count, len(self.rows))
        if self.graph is None:
            places, products = self._exact(queries, kept)
        else:
            places, products = self._approximate(queries, kept)
        rows = np.where(np.isfinite(products), self.rows[places], NONE)
        missing = ((0, 0), (0, count - kept))
        return (
            np.pad(rows, missing, constant_values=NONE),
            np.pad(products, missing, constant_values=-np.inf),
        )

    def _exact(self, queries: Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
        """In blocks, of which the best so far are kept."""
        block = max(1, SCORED // max(1, len(queries)))
        places = torch.zeros(len(queries), 0, dtype=torch.long, device=queries.device)
        products = torch.zeros(len(queries), 0, device=queries.device)
        for start in range(0, len(self.vectors), block):
            scored = queries @ self.vectors[start : start + block].T
            top, where = scored.topk(min(count, scored.shape[1]), dim=1)
            products = torch.cat([products, top], 1)
            places = torch.cat([places, where + start], 1)
            products, order = products.topk(min(count, products.shape[1]), dim=1)
            places = places.gather(1, order)
        return places.cpu().numpy(), products.cpu().numpy()

    def _approximate(self, queries: Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
        longer = torch.nn.functional.pad(queries, (0, 1)).cpu().numpy()
        assert self.graph is not None
        self.graph.expansion_search = max(self.breadth, 2 * count)
        found = self.graph.search(np.ascontiguousarray(longer, np.float32), count)
        counts = np.asarray(getattr(found, "counts", [len(found)]))  # a lone query has its length
        told = np.arange(count) < counts[:, None]
        places = np.zeros((len(queries), count), np.int64)
        places.flat[: found.keys.size] = found.keys.ravel()
        places[~told] = 0
        vectors = self.vectors[torch.from_numpy(places).to(self.vectors.device)]
        products = (vectors * queries[:, None]).sum(-1).cpu().numpy()
        products = np.where(told, products, -np.inf)
        order = np.argsort(-products, axis=1, kind="stable")
        return np.take_along_axis(places, order, 1), np.take_along_axis(products, order, 1)


def track_index(model: PlaylistTransformer, approximate: bool = False) -> TrackIndex:
    """An index of all tracks that the model has a vector for, cold ones with audio included."""
    rows = model.recommendable
    return TrackIndex(rows, model.output_vectors(rows), approximate)


def _graph(vectors: np.ndarray, breadth: int) -> Any:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise SslAudioError(
            "approximate search needs usearch: pip install 'ssl_audio[playlists]'"
        ) from error
    squares = (vectors.astype(np.float64) ** 2).sum(1)
    rest = np.sqrt(np.maximum(squares.max() - squares, 0.0))
    longer = np.concatenate([vectors, rest[:, None]], 1).astype(np.float32)
    graph = Index(ndim=longer.shape[1], metric="cos", dtype="f32", connectivity=32,
                  expansion_add=breadth, expansion_search=breadth)  # fmt: skip
    graph.add(np.arange(len(longer)), longer)
    return graph


def generate(
    model: PlaylistTransformer,
    seeds: Sequence[Sequence[int]],
    length: int,
    k: int = 20,
    seed: int = 0,
    index: TrackIndex | None = None,
) -> list[list[int]]:
    """Tracks to go on with after each list of seeds, none twice and none of the seeds.

    Each next track is drawn from the k most likely at unit temperature, by adding Gumbel noise to
    their logits. The noise depends on the seed and the place of the list alone.

    Args:
        model: trained; the last `context` tracks are what it reads.
        seeds: rows of the catalogue, -1 for a track that it lacks; may be empty.
        length: tracks to add to each list.
        k: 1 takes the most likely one.
        seed: of the drawing.
        index: from `track_index`; None: an exact one, made here.

    Returns:
        the added tracks of each list, in order.

    Raises:
        SslAudioError: length or k below 1, or more tracks asked for than there are.
    """
    if length < 1 or k < 1:
        raise SslAudioError(f"length={length} k={k}: 1 or more")
    if not seeds:
        return []
    index = index or track_index(model)
    starts = np.array([len(one) for one in seeds])
    told = np.full((len(seeds), starts.max() + length), NONE, np.int32)
    told[np.arange(told.shape[1]) < starts[:, None]] = playlists_of(seeds).tracks
    noise = np.stack(
        [np.random.default_rng((seed, one)).gumbel(size=(length, k)) for one in range(len(seeds))]
    )
    each = np.arange(len(seeds))
    for step in range(length):
        told[each, starts + step] = _next(model, index, told, starts + step, noise[:, step])
    return [row[s : s + length].tolist() for row, s in zip(told, starts, strict=True)]


def _next(
    model: PlaylistTransformer,
    index: TrackIndex,
    told: np.ndarray,
    lengths: np.ndarray,
    noise: np.ndarray,
) -> np.ndarray:
    """(playlists,) one track after the first `lengths` of each row of `told`."""
    filled = np.arange(told.shape[1]) < lengths[:, None]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    states = model.last_hidden(Playlists(told[filled], offsets, [""] * len(told)))
    k = noise.shape[1]
    rows, logits = index.nearest(states, k + int(lengths.max()))
    repeated = (rows[:, :, None] == np.where(filled, told, -1)[:, None, :]).any(-1)
    logits = np.where(repeated | (rows < 0), -np.inf, logits)
    fresh = np.argsort(~np.isfinite(logits), axis=1, kind="stable")[:, :k]  # the k best left
    rows, logits = np.take_along_axis(rows, fresh, 1), np.take_along_axis(logits, fresh, 1)
    if np.isneginf(logits).all(1).any():
        raise SslAudioError(
            f"{len(index.rows)} tracks can be recommended, and a playlist has them all: "
            "ask for a smaller length="
        )
    rank = noise[:, : rows.shape[1]] + logits
    return rows[np.arange(len(rows)), rank.argmax(1)]
