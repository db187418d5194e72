"""VICReg: invariance between views, variance and decorrelation within each."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_audio.models.projector import projector
from ssl_audio.objectives.objective import LossOutput, Objective, check_views


def vicreg(a: Tensor, b: Tensor, epsilon: float = 1e-4) -> tuple[Tensor, Tensor, Tensor]:
    """Invariance, variance and covariance terms (Bardes et al. 2022, Eq. 1 to 5), unweighted.

    The variance term is the mean over both views (the paper's code has this factor 1/2; its Eq. 6
    writes the sum); the covariance term is the sum over both, as in both.

    Args:
        a, b: (N, D), N >= 2.
        epsilon: added to the variances.
    """
    with torch.autocast(a.device.type, enabled=False):
        a, b = (x if x.dtype == torch.float64 else x.float() for x in (a, b))
        invariance = (a - b).square().mean()
        variance = 0.5 * (_variance(a, epsilon) + _variance(b, epsilon))
        return invariance, variance, _covariance(a) + _covariance(b)


def _variance(x: Tensor, epsilon: float) -> Tensor:
    return torch.relu(1 - (x.var(0) + epsilon).sqrt()).mean()


def _covariance(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    c = centred.T @ centred / (len(x) - 1)
    return (c.square().sum() - c.diagonal().square().sum()) / x.shape[1]


class VICReg(Objective):
    """VICReg with its paper's coefficients.

    Args:
        embedding_size: size of the encoder's output.
        invariance, variance, covariance: weights of the terms.
    """

    def __init__(
        self,
        embedding_size: int = 1024,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ) -> None:
        super().__init__(projector((embedding_size, 1024, 1024, 2048)))
        self.weights = (invariance, variance, covariance)

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        check_views(student, self.minimum_batch)
        terms = [w * t for w, t in zip(self.weights, vicreg(student[0], student[1]), strict=True)]
        names = ("invariance", "variance", "covariance")
        return LossOutput(
            torch.stack(terms).sum(), {n: t.detach() for n, t in zip(names, terms, strict=True)}
        )
