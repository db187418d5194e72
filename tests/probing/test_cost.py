"""Parameters and operations of encoders whose formula is known."""

import numpy as np
import torch
from torch import nn

from ssl_audio.probing.cost import cost

RATE = 8000


class Frames:
    """A linear layer on frames of 20 ms, 160 to 8 values."""

    name, kind, source, key, sample_rate = "frames", "checkpoint", "here", "key", RATE

    def __init__(self):
        self.network = nn.Linear(160, 8)

    @torch.inference_mode()
    def features(self, blocks):
        waveform = torch.from_numpy(np.concatenate(list(blocks)))
        return self.network(waveform.view(-1, 160)).numpy()


class Mean:
    name, kind, source, key, sample_rate = "mean", "features", "here", "key", RATE

    def features(self, blocks):
        return np.concatenate(list(blocks)).reshape(-1, 1).mean(0, keepdims=True)


def test_a_linear_layer():
    found = cost(Frames())
    assert found.parameters == 160 * 8 + 8
    assert found.operations == 50 * 160 * 8  # 50 frames a second
    assert found.tracks_per_second > 0


def test_without_a_network_only_the_speed_is_known():
    found = cost(Mean())
    assert found.parameters is None and found.operations is None and found.tracks_per_second > 0


def test_another_library_s_network_has_no_parameters_here():
    other = Frames()
    other.network = object()
    other.features = Mean().features
    assert cost(other).parameters is None
