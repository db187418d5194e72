"""Model FLOPs of a step against their formulas, and MFU."""

import lightning
import pytest
import torch
from test_module import fit
from torch import nn

from ssl_audio.audio.logmel import LogMel
from ssl_audio.objectives.byol import BYOL
from ssl_audio.objectives.contrastive import Contrastive
from ssl_audio.objectives.schedules import Constant
from ssl_audio.training import horizon
from ssl_audio.training.budget import Budget
from ssl_audio.training.flops import flops_of_step, peak_of
from ssl_audio.training.module import PretrainModule

SAMPLES, SHORT, PAIRS = 16_000, 8_000, 3


class SmallEncoder(nn.Module):
    """The default front end, a convolution, and a linear layer to 8 dimensions."""

    def __init__(self):
        super().__init__()
        self.frontend = LogMel.named("default")
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(4, 8),
        )  # fmt: skip

    def logmel(self, waveforms):
        return self.frontend(waveforms)


def make(objective, crops=0):
    return PretrainModule(
        SmallEncoder(), objective, lambda groups: torch.optim.SGD(groups, lr=0.1), 0.0,
        Constant(1.0), crops=crops,
    )  # fmt: skip


def batch(crops=0):
    made = {name: torch.randn(PAIRS, SAMPLES) for name in ("anchor", "positive")}
    return made | ({"crops": torch.randn(crops, PAIRS, SHORT)} if crops else {})


def backbone(samples):
    frames = samples // 512 + 1
    return 2 * 4 * 9 * 128 * frames + 2 * 4 * 8  # multiplications and additions


def test_the_forward_pass_counts_once_and_the_backward_pass_twice():
    heads = 2 * (8 * 6 + 6 * 5)
    module = make(Contrastive(8, projector_sizes=(6, 5)))
    assert flops_of_step(module, batch()) == PAIRS * 2 * 3 * (backbone(SAMPLES) + heads)
    assert module.encoder.backbone[0].weight.device.type == "cpu" and module.training


def test_the_teacher_has_a_forward_pass_for_long_views():
    projector, predictor = 2 * (8 * 6 + 6 * 5), 2 * (5 * 7 + 7 * 5)
    module = make(BYOL(8, hidden=7, projector_sizes=(6, 5)), crops=2)
    student = 3 * (2 * backbone(SAMPLES) + 2 * backbone(SHORT) + 4 * (projector + predictor))
    teacher = 2 * (backbone(SAMPLES) + projector)
    assert flops_of_step(module, batch(crops=2)) == PAIRS * (student + teacher)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("Tesla T4", 65e12),
        ("NVIDIA RTX A4000", None),
        ("NVIDIA T400 4GB", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
    ],
)
def test_peaks_by_name(name, peak, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    gpu = torch.device("cuda", 0)
    assert peak_of(gpu, "bf16-mixed") == peak
    assert peak_of(gpu, "32-true") is None and peak_of(torch.device("cpu"), "bf16-mixed") is None


def test_mfu_is_the_share_of_the_peak(monkeypatch):
    monkeypatch.setattr(horizon, "peak_of", lambda device, precision: 1e12)
    module = make(Contrastive(8, projector_sizes=(6, 5)))
    callback: lightning.Callback = horizon.Horizon(Budget(3, PAIRS))
    metrics = fit(module, [batch()] * 3, max_steps=3, callbacks=[callback]).callback_metrics
    expected = flops_of_step(module, batch()) * metrics["speed/pairs_per_second"] / PAIRS / 1e12
    assert metrics["speed/mfu"] == pytest.approx(float(expected), rel=1e-5)
