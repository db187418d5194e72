import numpy as np
import pytest

from ssl_audio.probing.calibration import calibration


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
