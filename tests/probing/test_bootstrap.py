import numpy as np
import pytest

from ssl_audio.probing.bootstrap import bootstrap, draw_clustered, paired_difference
from ssl_audio.probing.metrics import evaluate


def made(seed, rows, strength, tags=3):
    rng = np.random.default_rng(seed)
    targets = (rng.random((rows, tags)) < 0.3).astype(np.uint8)
    return targets, rng.normal(size=(rows, tags)) + strength * targets


def test_each_resample_is_half_the_rows_and_the_same_for_a_seed():
    targets, scores = made(0, 101, 1.0)
    one, same, other = (bootstrap(targets, scores, 20, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.roc_auc, same.roc_auc)
    assert not np.allclose(one.roc_auc, other.roc_auc)
    assert one.roc_auc.shape == (20, 3) and one.undefined == 0
    whole = evaluate(targets, scores)
    assert one.macro("roc_auc").mean() == pytest.approx(whole.roc_auc, abs=0.03)


def test_a_tag_that_is_undefined_in_a_resample_is_left_out_and_counted():
    targets, scores = made(0, 40, 1.0)
    targets[:, 1] = 0
    targets[0, 1] = 1  # one positive: undefined in about half of the resamples
    found = bootstrap(targets, scores, 50)
    missing = np.isnan(found.map[:, 1])
    assert found.undefined == missing.sum() and 10 < missing.sum() < 40
    row = int(np.flatnonzero(missing)[0])
    assert found.macro("map")[row] == pytest.approx(found.map[row, [0, 2]].mean())
    tag = found.by_tag("map")[1]
    assert tag.mean == pytest.approx(found.map[~missing, 1].mean())
    assert tag.std == pytest.approx(found.map[~missing, 1].std())


@pytest.mark.parametrize("fraction", [0.0, 1.0, 0.001])
def test_fractions_that_leave_nothing_or_all_are_refused(fraction):
    with pytest.raises(ValueError, match="fraction"):
        bootstrap(*made(0, 40, 1.0), fraction=fraction)


def test_differences_need_the_same_resamples():
    targets, scores = made(0, 40, 1.0)
    with pytest.raises(ValueError, match="same resamples"):
        paired_difference(bootstrap(targets, scores, 5), bootstrap(targets, scores, 6), "map")


@pytest.mark.slow
@pytest.mark.parametrize("fraction", [0.3, 0.5])
def test_the_interval_covers_the_true_difference_as_often_as_it_says(fraction):
    population, size = 20_000, 400
    targets, weak = made(1, population, 0.8, tags=1)
    strong = weak + 0.5 * targets
    truth = evaluate(targets, strong).roc_auc - evaluate(targets, weak).roc_auc
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        rows = rng.choice(population, size, replace=False)
        parts = [
            bootstrap(targets[rows], scores[rows], 100, fraction, seed=trial)
            for scores in (strong, weak)
        ]
        found = paired_difference(*parts, "roc_auc", confidence=0.9)
        covered += found.low <= truth <= found.high
    assert 0.84 <= covered / 300 <= 0.96


def test_resamples_without_a_defined_tag_count_in_no_mean():
    targets = np.array([[1], [0], [0], [0]], np.uint8)
    found = bootstrap(targets, np.arange(4.0)[:, None], resamples=40, fraction=0.5)
    macro = found.macro("roc_auc")
    assert np.isnan(macro).any() and not np.isnan(macro).all()
    mean, deviation = found.summary("roc_auc")
    assert mean == pytest.approx(np.nanmean(macro)) and np.isfinite(deviation)
    difference = paired_difference(found, found, "roc_auc")
    assert difference.mean == difference.low == 0.0


def test_whole_clusters_are_drawn_and_rows_within_them():
    clusters = ["a", "b", "a", "c", "a", "b"]
    counts = draw_clustered(clusters, 4000, seed=1)
    np.testing.assert_array_equal(counts, draw_clustered(clusters, 4000, seed=1))
    sizes = {"a": 3, "b": 2, "c": 1}
    for name, size in sizes.items():
        times = counts[:, [k for k, one in enumerate(clusters) if one == name]].sum(1) / size
        assert set(times) <= {0, 1, 2, 3}  # a cluster is drawn wholly, up to three times of three
        assert times.mean() == pytest.approx(1, abs=0.05)
        assert (times == 0).mean() == pytest.approx((2 / 3) ** 3, abs=0.03)
    single = counts[counts[:, 3] == 0].sum(1)
    assert counts.mean(0) == pytest.approx(np.ones(6), abs=0.08) and single.min() >= 6


def test_rows_of_their_own_are_the_plain_bootstrap():
    values = np.random.default_rng(0).normal(size=30)
    counts = draw_clustered(range(30), 4000, seed=0)
    assert (counts.sum(1) == 30).all()
    deviation = (counts @ values / 30).std()
    assert deviation == pytest.approx(values.std() / np.sqrt(30), rel=0.05)
