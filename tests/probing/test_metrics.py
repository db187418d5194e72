import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.probing.metrics import evaluate, resampled_metrics


def case(seed, rows=40, tags=3, levels=None):
    rng = np.random.default_rng(seed)
    targets = (rng.random((rows, tags)) < 0.3).astype(np.uint8)
    scores = rng.normal(size=(rows, tags)) + targets
    if levels:
        scores = np.round(scores * levels) / levels
    return targets, scores


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.sampled_from([None, 1, 2, 8]))
def test_equal_to_scikit_learn(seed, rows, levels):
    targets, scores = case(seed, rows, 4, levels)
    found = evaluate(targets, scores)
    roc, precision = found.tag_roc_auc, found.tag_map
    for tag in range(4):
        if 0 < targets[:, tag].sum() < rows:
            assert roc[tag] == pytest.approx(
                roc_auc_score(targets[:, tag], scores[:, tag]), abs=1e-12
            )
            assert precision[tag] == pytest.approx(
                average_precision_score(targets[:, tag], scores[:, tag]), abs=1e-12
            )
        else:
            assert np.isnan(roc[tag]) and np.isnan(precision[tag])


@given(st.integers(0, 10_000))
def test_a_tag_is_measured_on_its_labelled_rows(seed):
    targets, scores = case(seed)
    unknown = np.random.default_rng(seed).random(targets.shape) < 0.5
    targets[unknown] = UNLABELLED
    found = evaluate(targets, scores)
    for tag in range(3):
        own = ~unknown[:, [tag]]
        alone = evaluate(targets[own[:, 0], tag, None], scores[own[:, 0], tag, None])
        np.testing.assert_array_equal(found.tag_roc_auc[tag], alone.tag_roc_auc[0])
        np.testing.assert_array_equal(found.tag_map[tag], alone.tag_map[0])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([None, 2]))
def test_a_resample_is_its_rows_alone(seed, levels):
    targets, scores = case(seed, 50, 3, levels)
    chosen = np.random.default_rng(seed).random((6, 50)) < 0.5
    roc, precision = resampled_metrics(targets, scores, chosen)
    for row, mask in enumerate(chosen):
        alone = evaluate(targets[mask], scores[mask])
        np.testing.assert_allclose(roc[row], alone.tag_roc_auc, atol=1e-12)
        np.testing.assert_allclose(precision[row], alone.tag_map, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([None, 2]))
def test_a_row_that_is_drawn_several_times_counts_as_so_many_rows(seed, levels):
    targets, scores = case(seed, 50, 3, levels)
    draws = np.random.default_rng(seed).integers(0, 4, (6, 50)).astype(np.int32)
    roc, precision = resampled_metrics(targets, scores, draws)
    for row, counts in enumerate(draws):
        alone = evaluate(targets.repeat(counts, 0), scores.repeat(counts, 0))
        np.testing.assert_allclose(roc[row], alone.tag_roc_auc, atol=1e-12)
        np.testing.assert_allclose(precision[row], alone.tag_map, atol=1e-12)


@given(st.integers(0, 10_000))
def test_metrics_depend_on_the_order_of_scores_alone(seed):
    targets, scores = case(seed, levels=4)
    before, after = evaluate(targets, scores), evaluate(targets, np.exp(scores) * 3 - 1)
    np.testing.assert_allclose(before.tag_roc_auc, after.tag_roc_auc)
    np.testing.assert_allclose(before.tag_map, after.tag_map)


@given(st.integers(0, 10_000))
def test_the_other_class_mirrors_roc_auc(seed):
    targets, scores = case(seed, levels=4)
    other = evaluate(1 - targets, -scores)
    np.testing.assert_allclose(evaluate(targets, scores).tag_roc_auc, other.tag_roc_auc)


def test_macro_means_leave_undefined_tags_out():
    targets, scores = case(0)
    targets[:, 1] = 0
    found = evaluate(targets, scores)
    assert np.isnan(found.tag_map[1])
    assert found.map == pytest.approx(found.tag_map[[0, 2]].mean())


@pytest.mark.parametrize("scores", [np.zeros((4, 2)), np.full((4, 3), np.nan)])
def test_other_shapes_and_nans_are_refused(scores):
    with pytest.raises(ValueError, match="scores"):
        evaluate(np.zeros((4, 3)), scores)
