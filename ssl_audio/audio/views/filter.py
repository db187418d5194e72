"""Random equalisation."""

import math

import torch
from torch import Tensor

from ssl_audio.audio.views.transform import Context, Interval, Stage, change, interval, probability
from ssl_audio.io.errors import SslAudioError

SHELF_SLOPE = 4.0  # of the logistic curve, per octave: 10 to 90 % within an octave
BAND_WIDTH = 0.75  # standard deviation of a band's bell, octaves


class Filter:
    """A low shelf, a high shelf or a band, each as probable, raised or lowered.

    The gain in decibels is a smooth function of log-frequency without phase: a logistic step for
    shelves, a bell for bands, around a corner uniform in log-frequency. It is applied to the
    spectrum of the whole crop, whose ends are joined.

    Args:
        db: [low, high] of the gain of shelf or band, dB; a number is [-db, db].
        corner: [low, high] of the corner or centre, or one value, Hz.
        p: probability of a change, per view.
    """

    stage: Stage = "waveform"

    def __init__(
        self, db: Interval = 12.0, corner: Interval = (100.0, 6000.0), p: float = 1.0
    ) -> None:
        self.db, self.p = change("db", db), probability(p)
        self.corner = interval("corner", corner)
        if self.corner[0] <= 0:
            raise SslAudioError(f"corner={corner}: frequencies above 0 Hz")

    def __call__(self, x: Tensor, context: Context) -> Tensor:
        kind = context.uniform(0, 3).floor()[:, None]
        low, high = self.corner
        corner = context.uniform(math.log2(low), math.log2(high))[:, None]
        decibels = context.uniform(*self.db) * context.chosen(self.p)
        frequency = torch.fft.rfftfreq(x.shape[1], 1 / context.frontend.sample_rate)
        octaves = frequency.clamp_min(1.0).log2().to(x.device) - corner  # above the corner
        shelf = torch.sigmoid(torch.where(kind == 0, -SHELF_SLOPE, SHELF_SLOPE) * octaves)
        bell = torch.exp(-0.5 * (octaves / BAND_WIDTH).square())
        gain = 10 ** (torch.where(kind == 2, bell, shelf) * decibels[:, None] / 20)
        return torch.fft.irfft(torch.fft.rfft(x) * gain, n=x.shape[1])
