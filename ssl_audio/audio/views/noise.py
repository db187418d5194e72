"""Noise at a signal-to-noise ratio."""

import torch
from torch import Tensor

from ssl_audio.audio.views.transform import Context, Interval, Stage, interval, probability
from ssl_audio.io.errors import SslAudioError

COLOURS = ("white", "pink")


class Noise:
    """Added noise at a signal-to-noise ratio, uniform in decibels.

    The ratio is that of the mean squares over the view; silence stays silence.

    Args:
        snr: [low, high] of the ratio, or one value, dB.
        colour: white (equal power per Hz) or pink (power proportional to 1 / frequency).
        p: probability of a change, per view.
    """

    stage: Stage = "waveform"

    def __init__(self, snr: Interval = (10.0, 40.0), colour: str = "white", p: float = 1.0) -> None:
        self.snr, self.p = interval("snr", snr), probability(p)
        if colour not in COLOURS:
            raise SslAudioError(f"colour={colour}: {' or '.join(COLOURS)}")
        self.colour = colour

    def __call__(self, x: Tensor, context: Context) -> Tensor:
        ratio = 10 ** (context.uniform(*self.snr) / 20)
        chosen = context.chosen(self.p)
        noise = context.noise(x.shape[1])
        if self.colour == "pink":
            noise = _pink(noise)
        scale = _rms(x) / (_rms(noise).clamp_min(1e-12) * ratio)
        return x + noise * torch.where(chosen, scale, 0.0)[:, None]


def _rms(x: Tensor) -> Tensor:
    return x.square().mean(1).sqrt()


def _pink(white: Tensor) -> Tensor:
    """Power proportional to 1 / frequency, without a constant part."""
    spectrum = torch.fft.rfft(white)
    bins = torch.arange(spectrum.shape[1], device=white.device)
    weights = bins.clamp_min(1).rsqrt() * (bins > 0)
    return torch.fft.irfft(spectrum * weights, n=white.shape[1])
