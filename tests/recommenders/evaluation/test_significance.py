"""Coverage of bootstrap intervals, error rate of the paired test, Holm's correction."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ssl_audio.recommenders.evaluation import significance
from ssl_audio.recommenders.evaluation.sessions import f1_of
from ssl_audio.recommenders.evaluation.significance import (
    holm,
    interval,
    interval_of,
    paired_differences,
    sign_flip_tests,
)


def figures(seed=0, size=200):
    return np.random.default_rng(seed).beta(2, 3, size)


def paired(a, b):
    return paired_differences([("a", "b")], {"a": {"hr": a}, "b": {"hr": b}}, ["hr"])[0]


def test_the_interval_is_that_of_the_textbook():
    values = figures()
    found = interval(values, seed=1, resamples=4000)
    assert found.mean == pytest.approx(values.mean())
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", random_state=0
    )
    spread = values.std() / np.sqrt(len(values))
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.15 * spread)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.15 * spread)
    assert found.low < found.mean < found.high


def test_resampled_means_are_of_as_many_playlists_drawn_again():
    values = 10.0 ** np.arange(4)  # decimal digits tell how often each is drawn
    sums = significance._resampled_means(values[None], 0, 500) * 4
    digits = np.array([[int(d) for d in f"{round(s):04d}"] for s in sums])
    assert (digits.sum(1) == 4).all()
    assert digits.mean(0) == pytest.approx(1, abs=0.15)
    assert len(np.unique(sums)) > 20


def test_the_same_seed_gives_the_same_and_the_size_of_a_block_only_the_draw(monkeypatch):
    values = figures()
    one, same, other = (interval(values, seed=s) for s in (3, 3, 4))
    assert one == same != other
    p = sign_flip(values - 0.42, seed=3)
    monkeypatch.setattr(significance, "BLOCK", 2_000)
    blocked = interval(values, seed=3)
    spread = values.std() / np.sqrt(len(values))
    assert blocked.low == pytest.approx(one.low, abs=0.3 * spread)
    assert blocked.high == pytest.approx(one.high, abs=0.3 * spread)
    assert sign_flip(values - 0.42, seed=3) == pytest.approx(p, abs=0.03)


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        found = interval(rng.beta(2, 3, 150), seed=trial, resamples=400)
        covered += found.low <= 0.4 <= found.high
    low, high = stats.binom.interval(0.999, 400, 0.945)  # percentile intervals are a little short
    assert low <= covered <= high


def test_pairing_removes_what_two_systems_share():
    shared = figures(size=400)
    noise = np.random.default_rng(1).normal(0, 0.01, 400)
    found = paired(shared + 0.01 + noise, shared)
    alone = interval(shared)
    assert found.mean == pytest.approx(0.01, abs=0.002) and found.low > 0
    assert found.high - found.low < 0.2 * (alone.high - alone.low)
    assert found.p == 1 / 10_000
    turned = paired(shared, shared + 0.01 + noise)
    assert turned.mean == pytest.approx(-found.mean) and turned.p == found.p


def sign_flip(differences, seed=0, flips=9_999):
    return float(sign_flip_tests(differences[:, None], seed, flips)[0])


def test_the_p_value_is_that_of_all_signs():
    differences = np.array([0.3, -0.1, 0.2, 0.5, 0.0, -0.2, 0.4, 0.1, 0.3])
    signs = np.array(list(itertools.product([-1, 1], repeat=len(differences))))
    sums = np.abs(signs @ differences)
    exact = (sums >= abs(differences.sum()) - 1e-9).mean()
    found = sign_flip(differences, flips=99_999)
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 1e5))


def test_the_p_value_is_that_of_the_t_test_where_playlists_are_many():
    differences = np.random.default_rng(2).normal(0, 0.3, 800)
    differences += 0.016 - differences.mean()
    expected = stats.ttest_1samp(differences, 0).pvalue
    assert 0.01 < expected < 0.5
    assert sign_flip(differences, flips=20_000) == pytest.approx(expected, abs=0.015)


def test_the_test_errs_as_often_as_it_says():
    rng = np.random.default_rng(0)
    p = np.array([sign_flip(rng.normal(size=40), seed=t, flips=199) for t in range(500)])
    low, high = stats.binom.interval(0.999, 500, 0.05)
    assert low <= (p <= 0.05).sum() <= high


def test_pairs_are_tested_alone_and_corrected_together():
    values = {"a": figures(), "b": figures() + 0.01, "c": np.roll(figures(), 3)}
    systems = {name: {"hr": one, "mrr": one**2} for name, one in values.items()}
    pairs = [("a", "b"), ("b", "c"), ("a", "c")]
    found = paired_differences(pairs, systems, ["hr", "mrr"])
    assert [(one.a, one.b, one.metric) for one in found] == [
        (*pair, metric) for metric in ("hr", "mrr") for pair in pairs
    ]
    alone = [paired(values[a], values[b]) for a, b in pairs]
    assert [(one.mean, one.low, one.high) for one in found[:3]] == [
        (one.mean, one.low, one.high) for one in alone
    ]
    squares = [paired(values[a] ** 2, values[b] ** 2) for a, b in pairs]
    np.testing.assert_allclose([one.p for one in found], holm([one.p for one in alone + squares]))
    assert paired_differences([], systems, ["hr"]) == ()


def test_intervals_of_several_means_draw_the_same_playlists():
    precision, recall = np.random.default_rng(1).random((2, 60))
    assert interval_of(lambda mean: mean, recall, seed=3) == interval(recall, seed=3)
    same, alone = interval_of(f1_of, recall, recall, seed=3), interval(recall, seed=3)
    assert (same.low, same.high) == pytest.approx((alone.low, alone.high))
    other = interval_of(f1_of, precision, recall, seed=3)
    expected = 2 * precision.mean() * recall.mean() / (precision.mean() + recall.mean())
    assert other.mean == pytest.approx(expected) and other.low < expected < other.high


def test_equal_systems_do_not_differ():
    found = paired(figures(), figures())
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.6, 0.5]), [1, 1])
    assert holm([0.2]).tolist() == [0.2] and holm([]).tolist() == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_none_and_bonferroni_and_keeps_the_order(p):
    found, given_ = holm(p), np.array(p)
    assert (found >= given_).all() and (found <= np.minimum(1, given_ * len(p))).all()
    assert (np.diff(found[np.argsort(given_, kind="stable")]) >= 0).all()


def test_training_seeds_are_resampled_with_the_playlists():
    """The variance of the mean is that of the seeds' means plus that of the playlists' means."""
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.2, (6, 1)) + rng.normal(0, 1, 300)
    found = interval(values, resamples=4000)
    expected = np.sqrt(values.mean(1).var() / 6 + values.mean(0).var() / 300)
    assert found.mean == pytest.approx(values.mean())
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(expected, rel=0.1)
    alone = interval(values[:1], resamples=4000)
    assert alone == interval(values[0], resamples=4000)
    both = paired(values + 0.5, values)
    assert (both.low, both.high) == pytest.approx((0.5, 0.5)) and both.p < 0.001
    assert interval(np.array([[0.3], [0.5]])).mean == pytest.approx(0.4)  # of all lists together


@pytest.mark.parametrize("values", [[], [0.1, np.nan]])
def test_figures_that_are_none_are_refused(values):
    with pytest.raises(ValueError, match="a finite number for each"):
        interval(np.array(values))
