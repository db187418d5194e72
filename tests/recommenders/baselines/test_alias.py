"""What an alias table draws."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.recommenders.baselines.alias import alias_table
from ssl_audio.recommenders.baselines.line import draw


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=300).filter(any))
def test_an_alias_table_gives_every_outcome_its_share(weights):
    keep, other = alias_table(np.array(weights))
    chances = keep.astype(np.float64) / len(weights)
    np.add.at(chances, other, (1 - keep.astype(np.float64)) / len(weights))
    assert keep.min() >= 0 and keep.max() <= 1
    np.testing.assert_allclose(chances, np.array(weights) / sum(weights), atol=1e-6)


def test_slots_are_drawn_as_often_as_they_weigh():
    weights = np.array([1.0, 0.0, 6.0, 3.0])
    rng = np.random.default_rng(0)
    table = alias_table(weights)
    drawn = [draw(*table, rng) for _ in range(20_000)]
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 20_000, weights / 10, atol=0.015)


def test_no_outcomes_make_an_empty_table():
    keep, other = alias_table(np.empty(0))
    assert len(keep) == len(other) == 0
