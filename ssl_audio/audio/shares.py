"""How often each track is drawn, by its length and by the weight of its source."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ssl_audio.audio.batches import Shares
from ssl_audio.io.errors import SslAudioError

_MARGIN = 1e-9  # keeps rounding from drawing a track twice for one batch


def track_shares(
    durations: NDArray[np.float64], sources: NDArray[np.int64], weights: Sequence[float] | None,
    draws: int, max_seconds: float | None = None,
) -> Shares | None:  # fmt: skip
    """The expected share of each track in the draws of a run.

    Within a source, or over all tracks where sources have no weights, a track's share is
    proportional to min(duration, max_seconds), or equal. No track has more than 1 / draws, which is
    once a batch; what it loses goes to the other tracks of its source.

    Args:
        durations: (n,) seconds.
        sources: (n,) number of each track's source, from 0.
        weights: of the sources, above 0; their shares of the draws are proportional to them.
            None: all tracks are of one source.
        draws: tracks in a batch, at most n.
        max_seconds: above 0; None: tracks are drawn equally often whatever their length.

    Returns:
        The shares; None where all are equal by these rules.

    Raises:
        SslAudioError: a source with a weight has too few tracks for it.
    """
    if weights is None and max_seconds is None:
        return None
    alone = np.ones(len(durations)) if max_seconds is None else np.minimum(durations, max_seconds)
    limit = (1.0 - _MARGIN) / draws
    if weights is None:
        return Shares(_limited(alone, 1.0, limit), sources)
    shares = np.zeros(len(durations))
    for number, weight in enumerate(weights):
        own = np.flatnonzero(sources == number)
        share = weight / sum(weights)
        if share > len(own) / draws:
            raise SslAudioError(
                f"data.sources[{number}] has {len(own)} usable tracks, too few for its weight: "
                f"{share:.1%} of a batch are {share * draws:.1f} of {draws} different tracks. "
                "Lower its weight or data.batch_size, or raise data.pairs_per_track"
            )
        shares[own] = _limited(alone[own], share, limit)
    return Shares(shares / shares.sum(), sources)


def _limited(weights: NDArray[np.float64], total: float, limit: float) -> NDArray[np.float64]:
    """Shares of a total, proportional to weights but for those that would exceed a limit."""
    shares = np.zeros(len(weights))
    free = np.ones(len(weights), dtype=bool)
    while free.any():
        left = total - limit * np.count_nonzero(~free)
        shares[free] = weights[free] / weights[free].sum() * left
        too_large = free & (shares > limit)
        if not too_large.any():
            break
        shares[too_large] = limit
        free &= ~too_large
    return shares
