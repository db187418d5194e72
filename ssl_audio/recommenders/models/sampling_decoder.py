"""Playlists written on by a model: top-k sampling over the whole catalogue, without repeats.

The k most likely tracks are those whose vectors have the largest inner products with the state that
predicts (trecs, section Inference): a search, exact or in a graph, not a softmax over all tracks.
Only tracks are searched, so `<start>`, `<unk>` and `<eop>` have no chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists, playlists_of
from ssl_audio.recommenders.data.csr import offsets_of
from ssl_audio.recommenders.models.transformer import PlaylistTransformer
from ssl_audio.stores.neighbours import NeighbourIndex

NONE = -2  # in a row of tracks: no more


@dataclass(frozen=True)
class TrackIndex:
    """The tracks that can be recommended, by the inner product of their output vectors.

    Attributes:
        rows: (n,) rows of the catalogue.
        index: of their vectors.
    """

    rows: np.ndarray
    index: NeighbourIndex

    def nearest(self, queries: Tensor, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the catalogue and inner products as of `NeighbourIndex.nearest`; no row is -1."""
        places, products = self.index.nearest(queries.cpu().numpy(), count)
        return np.where(places < 0, -1, self.rows[places]), products


def track_index(model: PlaylistTransformer, approximate: bool | None = False) -> TrackIndex:
    """An index of all tracks that the model has a vector for, cold ones with audio included."""
    rows = model.recommendable
    vectors = model.output_vectors(rows).cpu().numpy()
    return TrackIndex(rows, NeighbourIndex(vectors, "inner_product", approximate))


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
    offsets = offsets_of(lengths)
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
