"""Mixing with another track of the batch."""

import math

import torch
from torch import Tensor

from ssl_audio.audio.views.transform import Context, Interval, Stage, interval, probability
from ssl_audio.io.errors import SslAudioError

DOMAINS = ("power", "decibels")


class Mix:
    """Mixes each view with the same view of another track of the batch.

    With a share s of the other track, in the domain of power (log-mixup-exp of BYOL-A, Niizumi et
    al. 2021)

        10 log10((1 - s) 10^(x / 10) + s 10^(other / 10)),

    or in that of decibels (MixUp, Zhang et al. 2018) (1 - s) x + s other.

    Args:
        share: [low, high] of the other track's share, or one value, within 0 and 1.
        domain: power or decibels.
        p: probability of a change, per view.
    """

    stage: Stage = "logmel"

    def __init__(self, share: Interval = (0.0, 0.4), domain: str = "power", p: float = 1.0) -> None:
        self.share, self.p = interval("share", share, 0, 1), probability(p)
        if domain not in DOMAINS:
            raise SslAudioError(f"domain={domain}: {' or '.join(DOMAINS)}")
        self.domain = domain

    def __call__(self, x: Tensor, context: Context) -> Tensor:
        share = (context.uniform(*self.share) * context.chosen(self.p))[:, None, None]
        other = context.partners(x)
        if self.domain == "decibels":
            return (1 - share) * x + share * other
        nepers = math.log(10) / 10 * context.frontend.std  # of power, per unit of the log-mel
        mixed = torch.logaddexp(nepers * x + (1 - share).log(), nepers * other + share.log())
        return torch.where(share == 0, x, mixed / nepers)
