"""Weighted numbers against bisection and their weights."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ssl_audio.recommenders.data.inversion import WeightedNumbers

WEIGHTS = st.lists(st.sampled_from([0.0, 1e-9, 0.3, 1.0, 7.0, 1e6]), min_size=1, max_size=40)


@given(WEIGHTS.filter(any), st.integers(0, 99))
def test_draws_are_those_of_bisection(weights, seed):
    """Of the distribution function, with the same random numbers."""
    weights = np.array(weights)
    drawn = WeightedNumbers(weights).draw(np.random.default_rng(seed), (50, 4))
    uniform = np.random.default_rng(seed).random((50, 4))
    ends = np.cumsum(weights)
    np.testing.assert_array_equal(drawn, np.searchsorted(ends, uniform * ends[-1], side="right"))
    assert (weights[drawn] > 0).all()


def test_numbers_are_drawn_in_proportion_to_their_weights():
    weights = np.array([1, 0, 5, 2, 0, 0.5])
    drawn = WeightedNumbers(weights).draw(np.random.default_rng(0), (80_000,))
    shares = np.bincount(drawn, minlength=6) / len(drawn)
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.006)
