"""Schedules are functions of progress alone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.schedules import Constant, Cosine, Linear, WarmupCosine


def test_values():
    assert Constant(3.0)(0.2) == 3.0
    linear = Linear(1.0, 2.0, until=0.5)
    assert [linear(p) for p in (0, 0.25, 0.5, 0.9)] == [1.0, 1.5, 2.0, 2.0]
    assert Linear(1.0, 2.0, until=0.0)(0.0) == 2.0
    cosine = Cosine(0.996, 1.0)
    for p in (0.0, 0.1, 0.5, 1.0):  # Grill et al. 2020: 1 - (1 - m) (cos(pi p) + 1) / 2
        assert cosine(p) == pytest.approx(1 - 0.004 * (math.cos(math.pi * p) + 1) / 2, abs=1e-15)
    warm = WarmupCosine(warmup=0.2, end=0.1)
    assert [warm(p) for p in (0, 0.1, 0.2, 0.6, 1)] == pytest.approx([0, 0.5, 1, 0.55, 0.1])
    assert WarmupCosine(warmup=0.0)(0.0) == 1.0
    assert WarmupCosine(warmup=1.0)(1.0) == 1.0


@given(st.floats(0, 1), st.floats(0, 1))
def test_monotone_and_bounded(a, b):
    low, high = min(a, b), max(a, b)
    for schedule in (Linear(0.02, 0.04, 0.3), Cosine(0.996, 1.0)):
        values = [schedule(p) for p in (0, low, high, 1)]
        assert all(x <= y + 1e-15 for x, y in zip(values, values[1:], strict=False))


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_a_fraction_out_of_range_is_shown(value):
    with pytest.raises(SslAudioError, match=f"until={value}"):
        Linear(0, 1, value)
    with pytest.raises(SslAudioError, match=f"warmup={value}"):
        WarmupCosine(value)
