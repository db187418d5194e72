"""Barlow Twins: the two views' cross-correlation is to be the identity."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_audio.models.projector import projector
from ssl_audio.objectives.objective import LossOutput, Objective, check_views


def barlow_twins(a: Tensor, b: Tensor, off_diagonal: float = 5e-3) -> tuple[Tensor, Tensor]:
    """On-diagonal and weighted off-diagonal term (Zbontar et al. 2021, Eq. 1 and 2).

    Args:
        a, b: (N, D), N >= 2; each dimension is standardised over the batch (biased deviation).
        off_diagonal: lambda, the weight of the redundancy reduction term.
    """
    with torch.autocast(a.device.type, enabled=False):
        c = standardise(a).T @ standardise(b) / len(a)
        on = (c.diagonal() - 1).square().sum()
        off = c.square().sum() - c.diagonal().square().sum()
        return on, off_diagonal * off


def standardise(x: Tensor) -> Tensor:
    """(N, D) with zero mean and unit (biased) variance over the batch."""
    x = x if x.dtype == torch.float64 else x.float()
    return (x - x.mean(0)) * (x.var(0, unbiased=False) + 1e-5).rsqrt()


class BarlowTwins(Objective):
    """Barlow Twins.

    Args:
        embedding_size: size of the encoder's output.
        off_diagonal: lambda of the paper, which finds 0.005 best and a wide range good.
        scale: of the whole loss: with 2048 dimensions the sum is in the thousands.
    """

    def __init__(
        self, embedding_size: int = 1024, off_diagonal: float = 5e-3, scale: float = 1 / 2048
    ) -> None:
        super().__init__(projector((embedding_size, 1024, 1024, 2048)))
        self.off_diagonal = off_diagonal
        self.scale = scale

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        check_views(student, self.minimum_batch)
        on, off = barlow_twins(student[0], student[1], self.off_diagonal)
        on, off = on * self.scale, off * self.scale
        return LossOutput(on + off, {"on_diagonal": on.detach(), "off_diagonal": off.detach()})
