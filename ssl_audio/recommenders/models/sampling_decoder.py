"""Continues a playlist with a transformer: top-k sampling over the catalogue, without repeats.

The k most likely tracks are those whose output vectors have the largest inner products with the
last state (trecs, section "Inference"): a nearest-neighbour search, exact or by a graph, instead of
a softmax over all tracks. Only tracks are searched: `<start>`, `<unk>` and `<eop>` are never drawn.
"""

from collections.abc import Sequence

import numpy as np

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.models.transformer import Past, PlaylistTransformer
from ssl_audio.recommenders.track_index import TrackIndex


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
        length: tracks to add.
        k: candidates of each draw; 1 is greedy.
        seed: of the draws.
        index: of the model's output vectors of the tracks that can be recommended.

    Raises:
        SslAudioError: length or k below 1, or more tracks than can be recommended.
    """
    if length < 1 or k < 1:
        raise SslAudioError(f"length={length} k={k}: 1 or more")
    noise = np.random.default_rng((seed, 0)).gumbel(size=(length, k))
    playlist, past = list(history), list[Past]()
    for draw in noise:
        state = model.state_after(playlist, past).cpu().numpy()
        rows, logits = (one[0] for one in index.nearest(state, k + len(playlist)))
        best = np.flatnonzero((rows >= 0) & ~np.isin(rows, playlist))[:k]
        if not len(best):
            raise SslAudioError(
                f"{len(index.rows)} tracks can be recommended, and a playlist has all of them: "
                "give a smaller length="
            )
        playlist.append(int(rows[best][(draw[: len(best)] + logits[best]).argmax()]))
    return playlist[len(history) :]
