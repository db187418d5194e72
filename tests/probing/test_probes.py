import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ssl_audio import Probe
from ssl_audio.settings.probe import LinearProbeSettings

QUICK = LinearProbeSettings(batch_size=32, epochs=4, steps=40, learning_rate=0.02, hidden=32)


def made(rows=400, seed=0):
    x = np.random.default_rng(seed).normal(2, 3, (rows, 8))
    return x, (x[:, :3] > 2).astype(int)


@pytest.mark.parametrize("kind", ["linear", "mlp", "logistic"])
def test_every_kind_learns(kind):
    probe = Probe(kind, QUICK)
    assert probe.fit(*made()) is probe and probe.n_features_in_ == 8
    x, y = made(seed=1)
    assert probe.score(x, y) > 0.95 and (probe.predict(x) == y).mean() > 0.85
    proba = probe.predict_proba(x)
    assert proba.shape == y.shape and proba.min() >= 0 and proba.max() <= 1


def test_conventions_of_scikit_learn():
    probe = Probe("mlp", seed=3)
    assert clone(probe).get_params() == probe.get_params()
    assert "mlp" in repr(probe)
    with pytest.raises(NotFittedError):
        probe.predict_proba(np.zeros((2, 8)))


def test_validation_rows_replace_the_random_quarter():
    x, y = made()
    given = Probe("linear", QUICK).fit(x, y, validation=made(seed=1))
    again = Probe("linear", QUICK).fit(x, y, validation=made(seed=1))
    np.testing.assert_array_equal(given.decision_function(x), again.decision_function(x))
    assert not np.allclose(
        given.decision_function(x), Probe("linear", QUICK).fit(x, y).decision_function(x)
    )


def test_one_tag_may_be_a_vector():
    x, y = made()
    assert Probe("logistic").fit(x, y[:, 0]).predict_proba(x).shape == (400, 1)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros(8), np.zeros((8, 1)), r"not \(8,\) and \(8, 1\)"),
        (np.zeros((8, 2)), np.zeros((7, 1)), r"not \(8, 2\) and \(7, 1\)"),
        (np.zeros((0, 2)), np.zeros((0, 1)), r"\(0, 2\)"),
        (np.full((8, 2), np.nan), np.zeros((8, 1)), "finite"),
        (np.zeros((8, 2)), np.full((8, 1), 0.5), "0 or 1"),
        (np.zeros((3, 2)), np.zeros((3, 1)), "4 or more rows"),
    ],
)
def test_other_shapes_and_values_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        Probe().fit(x, y)


def test_other_dimensions_than_those_of_the_training_are_refused():
    probe = Probe("logistic").fit(*made())
    with pytest.raises(ValueError, match=r"X must be \(rows, 8\), not \(2, 5\)"):
        probe.predict_proba(np.zeros((2, 5)))
