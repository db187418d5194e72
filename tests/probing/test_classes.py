import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from ssl_audio.datasets.dataset import Classes
from ssl_audio.probing.bootstrap import METRICS, bootstrap, paired_difference
from ssl_audio.probing.classes import class_metrics


def case(seed, rows=40, tags=5):
    rng = np.random.default_rng(seed)
    targets = np.eye(tags, dtype=np.uint8)[rng.integers(0, tags - 1, rows)]  # never the last class
    return targets, rng.normal(size=targets.shape) + 1.5 * targets


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_equal_to_scikit_learn_on_each_resample(seed, rows):
    targets, scores = case(seed, rows)
    chosen = np.random.default_rng(seed).random((4, rows)) < 0.5
    chosen[:, 0] = True
    points = np.random.default_rng(1).random((5, 5))
    found = class_metrics(targets, scores, chosen, {"points": points})
    assert list(found) == ["accuracy", "macro F1", "points"]
    for k, rows_of in enumerate(chosen):
        true, predicted = targets[rows_of].argmax(1), scores[rows_of].argmax(1)
        assert found["accuracy"][k] == pytest.approx(accuracy_score(true, predicted))
        assert found["macro F1"][k] == pytest.approx(f1_score(true, predicted, average="macro"))
        expected = np.mean([points[t, p] for t, p in zip(true, predicted, strict=True)])
        assert found["points"][k] == pytest.approx(expected)


def test_the_bootstrap_has_the_metrics_of_classes_first():
    targets, scores = case(0, 60)
    found = bootstrap(targets, scores, 20, 0.5, classes=Classes())
    assert found.metrics == ("accuracy", "macro F1", *METRICS)
    assert bootstrap(targets, scores, 20, 0.5).metrics == METRICS
    worse = bootstrap(targets, -scores, 20, 0.5, classes=Classes())
    assert paired_difference(found, worse, "accuracy").low > 0
    mean, deviation = found.summary("accuracy")
    assert mean == pytest.approx(found.classes["accuracy"].mean()) and deviation > 0
