"""Where the segments of a pair are cut from a track."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ssl_audio.io.errors import SslAudioError


def draw_pair(
    duration: float, segment: float, min_offset: float, max_offset: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw the starts of an anchor and its positive.

    The anchor is uniform over the starts in [0, duration - segment] that leave room for a positive
    on at least one side; given the anchor, the positive is uniform over every admissible start:
    before or after the anchor, at a distance in [min_offset, max_offset], and inside the track. So
    near an end of the track the positive lies more often, or always, on the other side.

    Args:
        duration: length of the track, seconds.
        segment: length of a segment, seconds.
        min_offset: min distance between the two starts, seconds, >= 0.
        max_offset: max distance, seconds, >= min_offset.
        rng: the only source of randomness.

    Returns:
        `(anchor_start, positive_start)` in seconds.

    Raises:
        SslAudioError: the track is shorter than segment + min_offset.
    """
    last = duration - segment
    if last < min_offset:
        raise SslAudioError(
            f"a track of {duration:g} s has no pair of {segment:g} s segments "
            f"{min_offset:g} s apart: {segment + min_offset:g} s are required"
        )
    if last >= 2 * min_offset:
        anchor = _uniform([(0.0, last)], rng)
    else:  # an anchor in the middle would have no room on either side
        anchor = _uniform([(0.0, last - min_offset), (min_offset, last)], rng)
    before = (max(0.0, anchor - max_offset), anchor - min_offset)
    after = (anchor + min_offset, min(last, anchor + max_offset))
    return anchor, _uniform([span for span in (before, after) if span[0] <= span[1]], rng)


def draw_crop(
    duration: float, length: float, around: float, max_offset: float, rng: np.random.Generator
) -> float:
    """Draw the start of a further crop, seconds.

    Uniform over the starts inside the track at most `max_offset` from the start `around`; where
    there is none, the nearest start.

    Args:
        duration: length of the track, seconds.
        length: of the crop, seconds, <= duration.
        around: start of the anchor, seconds.
        max_offset: seconds, >= 0.
        rng: the only source of randomness.
    """
    last = max(0.0, duration - length)
    low, high = max(0.0, around - max_offset), min(last, around + max_offset)
    return _uniform([(min(low, last), high)], rng)


def _uniform(spans: Sequence[tuple[float, float]], rng: np.random.Generator) -> float:
    """Draw uniformly from disjoint closed intervals; from their points if all are empty."""
    lengths = [high - low for low, high in spans]
    total = sum(lengths)
    if total <= 0.0:
        return spans[int(rng.integers(len(spans)))][0]
    place = rng.random() * total
    for (low, high), length in zip(spans, lengths, strict=True):
        if place < length:
            return min(low + place, high)
        place -= length
    return spans[-1][1]  # only by rounding


def draw_wrapped_pair(
    duration: float, min_offset: float, max_offset: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw a pair from a track too short for one, read in a circle.

    The anchor is uniform over the circle, the distance uniform in [min_offset, max_offset], in
    either direction with equal probability; all in seconds. Both starts are in [0, duration).
    """
    anchor = rng.random() * duration
    offset = rng.uniform(min_offset, max_offset) * (1 if rng.random() < 0.5 else -1)
    return anchor, (anchor + offset) % duration
