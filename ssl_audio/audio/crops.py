"""Where the segments of a pair are cut from a track."""

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


def seconds_of_pairs(pairs: int, segment: float, min_offset: float, distance: float) -> float:
    """Length of the shortest track that holds so many pairs `distance` apart, seconds."""
    return pairs * (segment + min_offset) + (pairs - 1) * distance


def draw_distant_pairs(
    duration: float, segment: float, min_offset: float, max_offset: float, pairs: int,
    distance: float, rng: np.random.Generator,
) -> list[tuple[float, float]]:  # fmt: skip
    """Draw several pairs of one track, of which none comes near another.

    The distance within a pair is uniform in [min_offset, max_offset], as far as all pairs fit with
    the same limit, in either direction. Given these, all arrangements in which `distance` seconds
    or more lie between the pairs are equally likely.

    Args:
        duration, segment, min_offset, max_offset, rng: as in `draw_pair`.
        pairs: their number, 1 or more.
        distance: min seconds between the end of a pair and the start of the next one, >= 0.

    Returns:
        Anchor and positive starts of each pair, seconds, in random order.

    Raises:
        SslAudioError: the track is shorter than `seconds_of_pairs`.
    """
    needed = seconds_of_pairs(pairs, segment, min_offset, distance)
    if duration < needed:
        raise SslAudioError(
            f"a track of {duration:g} s does not hold {pairs} pairs {distance:g} s apart: "
            f"{needed:g} s are required"
        )
    room = (duration - (pairs - 1) * distance) / pairs - segment  # for the offset of each pair
    offsets = rng.uniform(min_offset, max(min_offset, min(max_offset, room)), pairs)
    taken = offsets + segment
    rest = max(0.0, duration - taken.sum() - (pairs - 1) * distance)
    before = np.cumsum(np.concatenate([[0.0], taken[:-1] + distance]))
    first = before + np.sort(rng.random(pairs)) * rest
    swapped = rng.random(pairs) < 0.5
    drawn = [
        (float(start + offset), float(start)) if swap else (float(start), float(start + offset))
        for start, offset, swap in zip(first, offsets, swapped, strict=True)
    ]
    return [drawn[k] for k in rng.permutation(pairs)]


def draw_wrapped_pair(
    duration: float, min_offset: float, max_offset: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Draw a pair from a track too short for one, read in a circle.

    The anchor is uniform over the circle. The distance of the starts, measured the shorter way
    round, is uniform in [min_offset, max_offset] as far as the circle goes, which is half of its
    length; a track shorter than 2 min_offset cannot keep the min distance, and its starts are half
    of its length apart. Either direction has equal probability. All in seconds; both starts are in
    [0, duration).
    """
    anchor = rng.random() * duration
    farthest = duration / 2
    offset = rng.uniform(min(min_offset, farthest), min(max_offset, farthest))
    positive = (anchor + offset * (1 if rng.random() < 0.5 else -1)) % duration
    return anchor, positive if positive < duration else 0.0  # -1e-20 % 1.0 is 1.0
