"""Where the segments of a pair are cut."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from ssl_audio.audio.crops import (
    draw_crop,
    draw_distant_pairs,
    draw_pair,
    draw_wrapped_pair,
    seconds_of_pairs,
)
from ssl_audio.io.errors import SslAudioError

SECONDS = st.floats(0.0, 30.0)


@given(
    segment=st.floats(0.1, 10.0),
    low=SECONDS,
    spread=SECONDS,
    room=st.floats(0.0, 100.0),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=300, deadline=None)
def test_a_pair_is_inside_the_track_and_at_an_admissible_distance(
    segment: float, low: float, spread: float, room: float, seed: int
) -> None:
    duration = segment + low + room
    assume(duration - segment >= low)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        anchor, positive = draw_pair(duration, segment, low, low + spread, rng)
        for start in (anchor, positive):
            assert 0.0 <= start <= duration - segment
        assert low - 1e-9 <= abs(anchor - positive) <= low + spread + 1e-9


@pytest.mark.parametrize("duration", [8.0, 10.0, 13.0, 30.0, 200.0])
def test_pairs_are_distributed_as_by_rejection_sampling(duration: float) -> None:
    """Anchors: uniform, rejected when no positive fits. Positives: uniform, rejected likewise."""
    rng = np.random.default_rng(0)
    drawn = np.array([draw_pair(duration, 4.0, 4.0, 16.0, rng) for _ in range(6000)])
    last = duration - 4.0
    if last == 4.0:  # the two ends are all there is
        assert set(map(tuple, drawn)) == {(0.0, 4.0), (4.0, 0.0)}
        assert abs(np.mean(drawn[:, 0] == 0.0) - 0.5) < 0.03
        return
    anchors = rng.uniform(0, last, 20_000)
    anchors = anchors[(anchors >= 4.0) | (anchors <= last - 4.0)]
    offsets = np.full(len(anchors), np.nan)
    reach = min(16.0, last)
    for _ in range(2000):  # enough for all but anchors with next to no room
        missing = np.isnan(offsets)
        if not missing.any():
            break
        tried = rng.uniform(-reach, reach, missing.sum())
        place = anchors[missing] + tried
        fits = (np.abs(tried) >= 4.0) & (place >= 0) & (place <= last)
        offsets[missing] = np.where(fits, tried, np.nan)
    assert stats.ks_2samp(drawn[:, 0], anchors).pvalue > 1e-3
    assert np.isnan(offsets).mean() < 0.01
    offsets = offsets[~np.isnan(offsets)]
    assert stats.ks_2samp(drawn[:, 1] - drawn[:, 0], offsets).pvalue > 1e-3
    assert 0.4 < np.mean(drawn[:, 1] > drawn[:, 0]) < 0.6  # before and after


def test_equal_offsets_and_no_offset() -> None:
    rng = np.random.default_rng(1)
    signs = Counter(
        round(b - a, 6) for a, b in (draw_pair(60.0, 4.0, 5.0, 5.0, rng) for _ in range(200))
    )
    assert set(signs) == {5.0, -5.0}
    anchor, positive = draw_pair(60.0, 4.0, 0.0, 0.0, rng)
    assert anchor == positive


def test_too_short_a_track_is_refused() -> None:
    with pytest.raises(SslAudioError, match="8 s are required"):
        draw_pair(7.99, 4.0, 4.0, 16.0, np.random.default_rng(0))


@given(duration=st.floats(0.05, 60.0), low=SECONDS, spread=SECONDS, seed=st.integers(0, 2**32))
def test_a_wrapped_pair_keeps_its_distance_as_far_as_the_circle_allows(
    duration: float, low: float, spread: float, seed: int
) -> None:
    anchor, positive = draw_wrapped_pair(duration, low, low + spread, np.random.default_rng(seed))
    assert 0 <= anchor < duration and 0 <= positive < duration
    apart = abs(anchor - positive)
    around = min(apart, duration - apart)
    assert around >= min(low, duration / 2) - 1e-9
    assert around <= low + spread + 1e-9


def test_wrapped_pairs_are_uniform_where_the_circle_has_room() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([draw_wrapped_pair(20.0, 4.0, 16.0, rng) for _ in range(4000)])
    apart = (drawn[:, 1] - drawn[:, 0]) % 20.0
    assert stats.kstest(np.minimum(apart, 20.0 - apart), stats.uniform(4, 6).cdf).pvalue > 1e-3
    assert stats.kstest(drawn[:, 0], stats.uniform(0, 20).cdf).pvalue > 1e-3
    assert 0.45 < np.mean(apart < 10.0) < 0.55


@given(
    segment=st.floats(0.1, 10.0), low=SECONDS, spread=SECONDS, room=st.floats(0.0, 300.0),
    pairs=st.integers(1, 6), distance=st.floats(0.0, 60.0), seed=st.integers(0, 2**32),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_pairs_of_one_track_stay_apart(
    segment: float, low: float, spread: float, room: float, pairs: int, distance: float, seed: int
) -> None:
    duration = seconds_of_pairs(pairs, segment, low, distance) + room
    lengths = (duration, segment, low, low + spread, pairs, distance)
    drawn = draw_distant_pairs(*lengths, np.random.default_rng(seed))
    assert len(drawn) == pairs
    for one in drawn:
        assert low - 1e-9 <= abs(one[0] - one[1]) <= low + spread + 1e-9
    spans = sorted((min(one), max(one) + segment) for one in drawn)
    assert spans[0][0] >= 0 and spans[-1][1] <= duration + 1e-9
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert start - end >= distance - 1e-9


def test_pairs_of_one_track_cover_all_of_it_in_random_order() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([draw_distant_pairs(120.0, 4.0, 4.0, 16.0, 3, 16.0, rng) for _ in range(3000)])
    counts, _ = np.histogram(drawn[:, 0].ravel(), bins=29, range=(0, 116))
    assert counts.min() > 0.4 * counts.mean()
    for part in (1, 2):  # each pair is distributed like the first
        assert stats.ks_2samp(drawn[:, 0, 0], drawn[:, part, 0]).pvalue > 1e-3
    with pytest.raises(SslAudioError, match="3 pairs 16 s apart: 56 s are required"):
        draw_distant_pairs(55.0, 4.0, 4.0, 16.0, 3, 16.0, rng)


@given(
    duration=st.floats(2.0, 60.0), length=st.floats(0.1, 2.0), place=st.floats(0.0, 1.0),
    max_offset=st.floats(0.0, 30.0), seed=st.integers(0, 1000),
)  # fmt: skip
def test_a_further_crop_lies_in_the_track_near_the_anchor(
    duration: float, length: float, place: float, max_offset: float, seed: int
) -> None:
    anchor = place * (duration - length)
    start = draw_crop(duration, length, anchor, max_offset, np.random.default_rng(seed))
    assert 0 <= start <= duration - length and abs(start - anchor) <= max_offset + 1e-9
