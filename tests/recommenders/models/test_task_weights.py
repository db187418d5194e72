"""Task weights against the formulas in float64, and the floor."""

import math

import pytest
import torch

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.models.task_weights import FixedWeights, LearntWeights, task_weights


def test_fixed_weights_are_a_weighted_sum():
    losses = {"a": torch.tensor(2.0), "b": torch.tensor(5.0)}
    assert float(FixedWeights({"a": 0.7, "b": 0.2})(losses)) == pytest.approx(0.7 * 2 + 0.2 * 5)


@pytest.mark.parametrize("weights", [(1.0,), (0.0, 0.0), "greedy"])
def test_weights_that_make_no_loss_are_refused(weights):
    with pytest.raises(SslAudioError, match="m2grl.weights=.*each of the tasks a, b"):
        task_weights(weights, ["a", "b"])


def test_weights_by_name_or_number():
    assert task_weights("uniform", ["a", "b"]).current() == {"a": 1.0, "b": 1.0}
    assert task_weights((0.5, 0.0), ["a", "b"]).current() == {"a": 0.5, "b": 0.0}
    assert isinstance(task_weights("learnt", ["a"]), LearntWeights)


def test_learnt_weights_follow_equation_10():
    weights = LearntWeights(["a", "b"])
    with torch.no_grad():
        weights.log_variance.copy_(torch.tensor([0.3, -1.2]))
    total = weights({"b": torch.tensor(0.5), "a": torch.tensor(2.0)})
    expected = 2.0 / math.exp(0.3) + 0.3 + 0.5 / math.exp(-1.2) - 1.2
    assert float(total) == pytest.approx(expected, abs=1e-6)


def test_the_optimum_of_a_variance_is_its_task_s_loss():
    weights = LearntWeights(["a"])
    optimizer = torch.optim.SGD(weights.parameters(), lr=0.1)
    for _ in range(400):
        optimizer.zero_grad()
        weights({"a": torch.tensor(0.4)}).backward()
        optimizer.step()
    assert float(weights.log_variance.exp()) == pytest.approx(0.4, abs=1e-3)


def test_no_weight_passes_one_over_the_floor():
    weights = LearntWeights(["a"])
    optimizer = torch.optim.SGD(weights.parameters(), lr=0.5)
    for _ in range(200):
        optimizer.zero_grad()
        weights({"a": torch.tensor(1e-4)}).backward()
        optimizer.step()
    assert weights.current()["a"] == pytest.approx(20.0)
