"""Barlow Twins: the two views' cross-correlation is to be the identity."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.objective import (
    LossOutput,
    Objective,
    check_not_negative,
    check_views,
    full_precision,
)
from ssl_audio.objectives.projector import PROJECTOR_SIZES, projector

EPSILON = 1e-5  # added to variances, as batch norm does: a constant dimension stays finite
SCALES = ("sum", "mean")


@full_precision
def barlow_twins_terms(z: Tensor) -> tuple[Tensor, Tensor]:
    """On-diagonal and off-diagonal sums of the cross-correlation, unweighted.

    C = A^T B / N, with each view standardised over the batch (biased deviation); the terms are
    sum_i (1 - C_ii)^2 and sum_{i != j} C_ij^2, averaged over the unordered pairs of views.

    Args:
        z: (V, N, D), V >= 2, N >= 2.

    Returns:
        Two scalars; the first is D when the views are independent.

    Raises:
        SslAudioError: projections of another shape.
    """
    check_views(z, 2)
    unit = (z - z.mean(1, keepdim=True)) * (z.var(1, keepdim=True, correction=0) + EPSILON).rsqrt()
    on, off = [], []
    for a, b in combinations(unit, 2):
        correlation = a.T @ b / len(a)
        diagonal = correlation.diagonal()
        on.append((1 - diagonal).square().sum())
        off.append(correlation.square().sum() - diagonal.square().sum())
    return torch.stack(on).mean(), torch.stack(off).mean()


def barlow_twins(z: Tensor, off_diagonal: float = 5e-3, scale: str = "sum") -> Tensor:
    """On-diagonal + lambda * off-diagonal (Zbontar et al. 2021, Eq. 1 and 2).

    Args:
        z: (V, N, D), V >= 2, N >= 2.
        off_diagonal: lambda, the weight of redundancy reduction, 0 or above.
        scale: "sum" as in the paper, or "mean": the whole divided by D, at most about 1 at first
            whatever the projector's width. The balance of the two terms is the same in both.

    Returns:
        Scalar.

    Raises:
        SslAudioError: a setting out of range, or projections of another shape.
    """
    on, off = barlow_twins_terms(z)
    return (on + off_diagonal * off) * _factor(off_diagonal, scale, z.shape[-1])


def _factor(off_diagonal: float, scale: str, size: int) -> float:
    check_not_negative(off_diagonal=off_diagonal)
    if scale not in SCALES:
        raise SslAudioError(f"scale={scale}: must be one of {', '.join(SCALES)}")
    return 1.0 if scale == "sum" else 1.0 / size


class BarlowTwins(Objective):
    """Barlow Twins.

    Why these defaults. Correlations of N independent rows have a variance of 1 / N, so even
    decorrelated dimensions leave an off-diagonal sum of D^2 / N. Weighted, and beside the
    on-diagonal sum that starts near D, that floor is lambda D / N: 0.02 in the paper (lambda
    0.0051, D 8192, N 2048), and 0.04 to 0.16 with its lambda at the batches of 64 to 256 and the
    D of 2048 that one trains audio with. lambda = 0.002 brings it to 0.016 to 0.064, around the
    paper's balance. The scale is "mean" because gradients are clipped to a length of 1: with the
    sum, every step would be clipped.

    Args:
        embedding_size: size of the encoder's output.
        off_diagonal: lambda of the paper, 0 or above.
        scale: "mean" or "sum"; see `barlow_twins`.
        projector_sizes: widths of the projector after the embedding.

    Raises:
        SslAudioError: a setting out of range.
    """

    def __init__(
        self,
        embedding_size: int = 1024,
        off_diagonal: float = 2e-3,
        scale: str = "mean",
        projector_sizes: Sequence[int] = PROJECTOR_SIZES,
    ) -> None:
        super().__init__(projector((embedding_size, *projector_sizes)))
        self.off_diagonal = off_diagonal
        self.factor = _factor(off_diagonal, scale, projector_sizes[-1])

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """The loss; logs `on_diagonal` and `off_diagonal`, weighted: they add up to it."""
        on, off = barlow_twins_terms(student)
        on, off = on * self.factor, self.off_diagonal * off * self.factor
        return LossOutput(on + off, {"on_diagonal": on.detach(), "off_diagonal": off.detach()})
