"""The teacher's average, with what happens to buffers."""

import copy

import pytest
import torch
from torch import nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.ema import HalfLife, momentum_of_step, update_teacher
from ssl_audio.objectives.schedules import Constant


def network(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model.register_buffer("filters", torch.randn(2))
    model.register_buffer("count", torch.tensor(seed))
    return model


@pytest.mark.parametrize("momentum", [0.0, 0.75, 1.0])
def test_average(momentum):
    teacher, student = network(1), network(2)
    before, source = copy.deepcopy(teacher.state_dict()), copy.deepcopy(student.state_dict())
    update_teacher(teacher, student, momentum)
    for name in ("0.weight", "0.bias", "1.weight", "1.bias", "filters"):
        expected = momentum * before[name] + (1 - momentum) * source[name]
        torch.testing.assert_close(teacher.state_dict()[name], expected)
    assert teacher.count == 2
    for name, value in student.state_dict().items():
        assert torch.equal(value, source[name]), "the student changed"


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_keeps_its_own_statistics_in_training_only(training):
    teacher, student = network(1), network(1)
    student(torch.randn(8, 3) + 5)
    teacher.train(training)
    before = teacher[1].running_mean.clone()
    update_teacher(teacher, student, 0.5)
    own = student[1].running_mean
    torch.testing.assert_close(
        teacher[1].running_mean, before if training else 0.5 * before + 0.5 * own
    )
    assert teacher[1].num_batches_tracked == (0 if training else 1)


@pytest.mark.parametrize("steps", [150, 4000])
def test_a_half_life_leaves_the_same_share_of_the_first_weights_in_runs_of_any_length(steps):
    teacher, student = nn.Linear(1, 1, bias=False).double(), nn.Linear(1, 1, bias=False).double()
    nn.init.ones_(teacher.weight)
    nn.init.zeros_(student.weight)
    for step in range(steps // 10):  # a tenth of the run: five half-lives
        momentum = momentum_of_step(HalfLife(0.02), step / steps, 1 / steps)
        update_teacher(teacher, student, momentum)
    assert teacher.weight.item() == pytest.approx(0.5**5, rel=1e-9)
    assert momentum_of_step(Constant(0.9), 0.5, 0.1) == 0.9


def test_refusals():
    with pytest.raises(SslAudioError, match="share=0"):
        HalfLife(0)
    with pytest.raises(SslAudioError, match="momentum=1.2"):
        update_teacher(network(1), network(2), 1.2)
    with pytest.raises(SslAudioError, match="differ"):
        update_teacher(nn.Linear(3, 4), nn.Linear(3, 5), 0.5)
