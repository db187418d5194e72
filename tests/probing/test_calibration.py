import numpy as np
import pytest
from scipy.special import log_softmax

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.probing.calibration import best_thresholds, calibration, fit_calibrator


def test_equal_to_the_formula():
    p = np.array([[0.05], [0.05], [0.95], [0.95]])
    y = np.array([[0], [1], [1], [1]])
    found = calibration(y, p, bins=2)
    assert found.ece == pytest.approx((2 * abs(0.05 - 0.5) + 2 * abs(0.95 - 1)) / 4)
    assert found.brier == pytest.approx((0.0025 * 3 + 0.9025) / 4)
    assert [b.count for b in found.bins] == [2, 2]


def test_true_probabilities_are_calibrated():
    rng = np.random.default_rng(0)
    p = rng.random((20_000, 2))
    assert calibration(rng.random(p.shape) < p, p).ece < 0.02
    with pytest.raises(ValueError, match="0 to 1"):
        calibration(np.zeros((1, 1)), np.full((1, 1), 1.5))


def made(rows=60, tags=3):
    """Logits that are twice as large as they should be, and 1 too high."""
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1.5, (rows, tags))
    return (rng.random((rows, tags)) < 1 / (1 + np.exp(-true))).astype(np.uint8), 2 * true + 1


def test_platt_scaling_is_where_the_gradient_of_its_likelihood_vanishes():
    y, z = made()
    y[:20, 1] = UNLABELLED
    found = fit_calibrator(y, z, single_label=False)
    for tag in range(3):
        rows = y[:, tag] != UNLABELLED
        t, x = y[rows, tag].astype(float), z[rows, tag]
        n1, n0 = t.sum(), (1 - t).sum()
        goal = np.where(t == 1, (n1 + 1) / (n1 + 2), 1 / (n0 + 2))
        p = 1 / (1 + np.exp(-(found.scale[tag] * x + found.shift[tag])))
        assert abs((p - goal).mean()) < 1e-4 and abs(((p - goal) * x).mean()) < 1e-4
    assert calibration(y, found(z)).ece < calibration(y, 1 / (1 + np.exp(-z))).ece


def test_what_validation_cannot_calibrate_is_left_as_it_is():
    y, z = made()
    y[:, 0] = 0
    y[:, 1] = z[:, 1] < 1
    found = fit_calibrator(y, z, single_label=False)
    np.testing.assert_array_equal((found.scale[:2], found.shift[:2]), ([1, 1], [0, 0]))


def test_classes_share_the_best_temperature():
    _, z = made(200, 4)
    rng = np.random.default_rng(1)
    y = np.eye(4)[(z / 3 + rng.gumbel(size=z.shape)).argmax(1)]
    found = fit_calibrator(y, z, single_label=True)
    scales = np.geomspace(0.1, 2, 400)
    losses = [-(log_softmax(s * z, axis=1) * y).sum() for s in scales]
    np.testing.assert_allclose(found.scale, scales[np.argmin(losses)], rtol=0.01)
    np.testing.assert_allclose(found(z).sum(1), 1)


def test_thresholds_have_the_highest_f1_of_all():
    y, z = made()
    p = 1 / (1 + np.exp(-z))
    found = best_thresholds(y, p)
    for tag in range(3):
        cuts = np.array([found[tag], 0, *p[:, tag]])
        chosen = p[:, tag] >= cuts[:, None]
        f1 = 2 * (chosen & (y[:, tag] == 1)).sum(1) / (chosen.sum(1) + y[:, tag].sum())
        assert f1[0] == f1.max()
        assert found[tag] not in p[:, tag]
    partial = np.concatenate([y, np.full_like(y, UNLABELLED)])
    np.testing.assert_array_equal(best_thresholds(partial, np.tile(p, (2, 1))), found)
    np.testing.assert_array_equal(best_thresholds(np.zeros_like(y), p), 0.5)
