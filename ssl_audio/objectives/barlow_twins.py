"""Barlow Twins (Zbontar et al. 2021): cross-correlation of two views close to the identity."""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives import objective
from ssl_audio.objectives.objective import LossOutput, Objective
from ssl_audio.objectives.projector import PROJECTOR_SIZES, projector

EPSILON = 1e-5  # added to variances, as in batch norm

Scale = Literal["sum", "mean"]


@objective.full_precision
def barlow_twins_terms(z: Tensor) -> tuple[Tensor, Tensor]:
    """The two sums of `barlow_twins_loss`, unweighted: of the diagonal and off it."""
    objective.check_views(z, 2)
    unit = (z - z.mean(1, keepdim=True)) * (z.var(1, keepdim=True, correction=0) + EPSILON).rsqrt()
    on, off = [], []
    for a, b in combinations(unit, 2):
        correlation = a.T @ b / len(a)
        diagonal = correlation.diagonal()
        on.append((1 - diagonal).square().sum())
        off.append(correlation.square().sum() - diagonal.square().sum())
    return torch.stack(on).mean(), torch.stack(off).mean()


def barlow_twins_loss(z: Tensor, off_diagonal: float = 5e-3, scale: Scale = "sum") -> Tensor:
    """Redundancy reduction (Zbontar et al. 2021, Eq. 1 and 2).

    With C = A^T B / N, the cross-correlation of two views standardised over the batch,

        sum_i (1 - C_ii)^2 + off_diagonal * sum_{i != j} C_ij^2,

    averaged over the pairs of views.

    Args:
        z: (V, N, D), V >= 2, N >= 2.
        off_diagonal: weight of the second sum (lambda), 0 or above.
        scale: "sum" as in the paper, or "mean": divided by D.

    Raises:
        SslAudioError: a wrong weight, scale or shape.

    Example:
        >>> view = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> barlow_twins_loss(torch.stack([view, view])).item() < 1e-6  # equal, uncorrelated
        True
    """
    on, off = barlow_twins_terms(z)
    return (on + off_diagonal * off) * _factor(off_diagonal, scale, z.shape[-1])


def _factor(off_diagonal: float, scale: str, size: int) -> float:
    objective.check_not_negative(off_diagonal=off_diagonal)
    if scale not in ("sum", "mean"):
        raise SslAudioError(f"scale={scale}: must be sum or mean")
    return 1.0 if scale == "sum" else 1.0 / size


class BarlowTwins(Objective):
    """Barlow Twins.

    N independent rows have correlations of variance 1 / N, so that the weighted off-diagonal sum of
    decorrelated dimensions is off_diagonal * D / N of the initial on-diagonal sum: 0.02 in the
    paper (0.0051, D 8192, N 2048), 0.016 to 0.064 with these defaults at batches of 256 to 64. The
    scale "mean" keeps gradients below the usual clipping norm of 1.

    Args:
        off_diagonal, scale: as in `barlow_twins_loss`.

    Raises:
        SslAudioError: an argument out of range.
    """

    def __init__(
        self, embedding_size: int = 1024, off_diagonal: float = 2e-3, scale: Scale = "mean",
        projector_sizes: Sequence[int] = PROJECTOR_SIZES,
    ) -> None:  # fmt: skip
        super().__init__(projector((embedding_size, *projector_sizes)))
        self.off_diagonal = off_diagonal
        self.factor = _factor(off_diagonal, scale, projector_sizes[-1])

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """The loss; logs its weighted terms `on_diagonal` and `off_diagonal`."""
        on, off = barlow_twins_terms(student)
        on, off = on * self.factor, self.off_diagonal * off * self.factor
        return LossOutput(on + off, {"on_diagonal": on.detach(), "off_diagonal": off.detach()})
