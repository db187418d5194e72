"""Continues a playlist with a transformer: top-k sampling over the catalogue, without repeats.

The k most likely tracks are those whose output vectors have the largest inner products with the
last state (trecs, section "Inference"): a nearest-neighbour search, exact or by a graph, instead of
a softmax over all tracks. Only tracks are searched: `<start>`, `<unk>` and `<eop>` are never drawn.

A graph is searched for every fourth track alone. The tracks that were found for any state so far
are the candidates of each draw, which is then one product of a small matrix with the state.
"""

from collections.abc import Sequence

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.models.transformer import Past, PlaylistTransformer
from ssl_audio.recommenders.track_index import TrackIndex

DRAWS = 4  # tracks drawn between two searches of a graph
FOUND = 128  # tracks that a search of a graph finds, at least


def generate(
    model: PlaylistTransformer,
    history: Sequence[int],
    length: int,
    k: int = 20,
    seed: int = 0,
    *,
    index: TrackIndex,
) -> list[int]:
    """Tracks that continue a playlist, in order; no track is repeated.

    Each next track is drawn from the k most likely ones at temperature 1, by adding Gumbel noise to
    their logits.

    Args:
        model: in evaluation mode; it reads the last `context` tracks.
        history: rows of the catalogue, -1 for an unknown track; may be empty.
        length: tracks to add, 1 or more.
        k: candidates of each draw, 1 or more; 1 is greedy.
        index: of the model's output vectors of the tracks that can be recommended.

    Raises:
        SslAudioError: more tracks than can be recommended.
    """
    noise = np.random.default_rng((seed, 0)).gumbel(size=(length, k))
    playlist, past = list(history), list[Past]()
    draws, least = (DRAWS, FOUND) if index.by_graph else (1, 1)
    candidates = np.zeros(0, np.int64)
    for number, draw in enumerate(noise):
        state = model.state_after(playlist, past).cpu().numpy()
        if number % draws == 0:
            found = index.nearest(state, max(k + len(playlist) + draws - 1, least))[0][0]
            candidates = np.union1d(candidates, found[(found >= 0) & ~np.isin(found, playlist)])
        if not len(candidates):
            raise SslAudioError(
                f"{len(index.rows)} tracks can be recommended, and a playlist has all of them: "
                "give a smaller length="
            )
        logits = index.products(state[0], candidates)
        best = np.argsort(-logits, kind="stable")[:k]  # of equal ones, the lower rows
        drawn = candidates[best[(draw[: len(best)] + logits[best]).argmax()]]
        candidates = candidates[candidates != drawn]
        playlist.append(int(drawn))
    return playlist[len(history) :]
