"""Gain and polarity."""

import torch
from torch import Tensor

from ssl_audio.audio.views.transform import Context, Interval, Stage, change, probability


class Gain:
    """Change of level by a number of decibels, uniform in a range.

    Args:
        db: [low, high] of the gain, dB; a number is [-db, db].
        p: probability of a change, per view.
    """

    stage: Stage = "waveform"

    def __init__(self, db: Interval = 6.0, p: float = 1.0) -> None:
        self.db, self.p = change("db", db), probability(p)

    def __call__(self, x: Tensor, context: Context) -> Tensor:
        decibels = context.uniform(*self.db)
        gain = torch.where(context.chosen(self.p), 10 ** (decibels / 20), 1.0)
        return x * gain[:, None]


class Polarity:
    """Change of sign.

    Args:
        p: probability of a change, per view.
    """

    stage: Stage = "waveform"

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p)

    def __call__(self, x: Tensor, context: Context) -> Tensor:
        return torch.where(context.chosen(self.p)[:, None], -x, x)
