"""Continues playlists with a transformer: top-k sampling over the catalogue, without repeats.

The k most likely tracks are those whose output vectors have the largest inner products with the
last state (trecs, section "Inference"): a nearest-neighbour search, exact or by a graph, instead of
a softmax over all tracks. Only tracks are searched: `<start>`, `<unk>` and `<eop>` are never drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists, playlists_of
from ssl_audio.recommenders.data.csr import offsets_of
from ssl_audio.recommenders.models.transformer import PlaylistTransformer
from ssl_audio.recommenders.track_index import TrackIndex

PADDING = -2  # after the tracks of a row


def generate(
    model: PlaylistTransformer,
    seeds: Sequence[Sequence[int]],
    length: int,
    k: int = 20,
    seed: int = 0,
    *,
    index: TrackIndex,
) -> list[list[int]]:
    """Tracks that continue each list of seeds; no track is repeated.

    Each next track is drawn from the k most likely ones at temperature 1, by adding Gumbel noise to
    their logits. The noise is a function of the seed and the number of the list.

    Args:
        model: in evaluation mode; it reads the last `context` tracks.
        seeds: rows of the catalogue, -1 for an unknown track; a list may be empty.
        length: tracks to add to each list.
        k: candidates of each draw; 1 is greedy.
        seed: of the draws.
        index: of the model's output vectors of the tracks that can be recommended.

    Returns:
        The added tracks of each list, in order.

    Raises:
        SslAudioError: length or k below 1, or more tracks than can be recommended.
    """
    if length < 1 or k < 1:
        raise SslAudioError(f"length={length} k={k}: 1 or more")
    if not seeds:
        return []
    starts = np.array([len(one) for one in seeds])
    playlists = np.full((len(seeds), starts.max() + length), PADDING, np.int32)
    playlists[np.arange(playlists.shape[1]) < starts[:, None]] = playlists_of(seeds).tracks
    noise = np.stack(
        [np.random.default_rng((seed, one)).gumbel(size=(length, k)) for one in range(len(seeds))]
    )
    each = np.arange(len(seeds))
    for step in range(length):
        following = _next(model, index, playlists, starts + step, noise[:, step])
        playlists[each, starts + step] = following
    return [row[s : s + length].tolist() for row, s in zip(playlists, starts, strict=True)]


def _next(
    model: PlaylistTransformer,
    index: TrackIndex,
    playlists: np.ndarray,
    lengths: np.ndarray,
    noise: np.ndarray,
) -> np.ndarray:
    """(n,) the next track of each row, of which the first `lengths` (n,) tracks are given."""
    filled = np.arange(playlists.shape[1]) < lengths[:, None]
    offsets = offsets_of(lengths)
    states = model.last_hidden(Playlists(playlists[filled], offsets, [""] * len(playlists)))
    k = noise.shape[1]
    rows, logits = index.nearest(states.cpu().numpy(), k + int(lengths.max()))
    repeated = (rows[:, :, None] == np.where(filled, playlists, -1)[:, None, :]).any(-1)
    logits = np.where(repeated | (rows < 0), -np.inf, logits)
    best = np.argsort(~np.isfinite(logits), axis=1, kind="stable")[:, :k]  # without the repeated
    rows, logits = np.take_along_axis(rows, best, 1), np.take_along_axis(logits, best, 1)
    if np.isneginf(logits).all(1).any():
        raise SslAudioError(
            f"{len(index.rows)} tracks can be recommended, and a playlist has all of them: "
            "give a smaller length="
        )
    perturbed = noise[:, : rows.shape[1]] + logits
    return rows[np.arange(len(rows)), perturbed.argmax(1)]
