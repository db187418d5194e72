"""VICReg: invariance between views, variance and decorrelation within each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from ssl_audio.objectives.objective import (
    LossOutput,
    Objective,
    check_not_negative,
    check_views,
    full_precision,
)
from ssl_audio.objectives.projector import PROJECTOR_SIZES, projector

EPSILON = 1e-4  # of the paper's Eq. 2: keeps the square root's slope finite at variance 0


@full_precision
def vicreg_terms(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Invariance, variance and covariance terms (Bardes et al. 2022, Eq. 1 to 5), unweighted.

    Conventions, in which public implementations differ: invariance is the mean squared difference
    over tracks *and* dimensions (Eq. 5 sums over the dimensions; the authors' code does not).
    Variance has the factor 1/2, that is the mean over two views (authors' code; Eq. 6 has their
    sum). Covariance is the sum over two views (both). With V views the means are over views and
    pairs of them, and covariance is twice the mean.

    Args:
        z: (V, N, D), V >= 2, N >= 2.

    Returns:
        Three scalars, 0 or above.

    Raises:
        SslAudioError: projections of another shape.
    """
    check_views(z, 2)
    differences = [(a - b).square().mean() for a, b in combinations(z, 2)]
    deviation = (z.var(1) + EPSILON).sqrt()
    variance = torch.relu(1 - deviation).mean()
    covariance = 2 * torch.stack([_covariance(view) for view in z]).mean()
    return torch.stack(differences).mean(), variance, covariance


def _covariance(view: Tensor) -> Tensor:
    """Sum of the squared covariances of different dimensions, divided by D (Eq. 3 and 4)."""
    centred = view - view.mean(0)
    matrix = centred.T @ centred / (len(view) - 1)
    return (matrix.square().sum() - matrix.diagonal().square().sum()) / view.shape[1]


def vicreg(
    z: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Tensor:
    """The three terms of `vicreg_terms`, weighted and added (Bardes et al. 2022, Eq. 6).

    Args:
        z: (V, N, D), V >= 2, N >= 2.
        invariance, variance, covariance: lambda, mu and nu of the paper, 0 or above.

    Returns:
        Scalar, 0 or above.

    Raises:
        SslAudioError: a weight below 0, or projections of another shape.
    """
    check_not_negative(invariance=invariance, variance=variance, covariance=covariance)
    terms = vicreg_terms(z)
    return invariance * terms[0] + variance * terms[1] + covariance * terms[2]


class VICReg(Objective):
    """VICReg.

    Why these defaults. N rows span at most N - 1 dimensions, so D > N dimensions of unit variance
    cannot be uncorrelated: each view's covariance term is then at least D / (N - 1) - 1, and it
    falls only by shrinking. With deviation s, the two views' term is 2 nu s^4 D / N, whose pull
    at s = 1 is 8 nu D / N against mu = 25 of the variance term: 32 in the paper (nu 1, D 8192,
    N 2048), which leaves s near 0.9, but 64 to 256 at batches of 256 to 64 and D of 2048, which
    crushes s to 0.7 and 0.5. nu = 0.1 gives 6 to 26 there: variance holds at every such batch.
    Invariance and variance keep the paper's 25.

    Args:
        embedding_size: size of the encoder's output.
        invariance, variance, covariance: weights of the terms, 0 or above.
        projector_sizes: widths of the projector after the embedding.

    Raises:
        SslAudioError: a weight below 0.
    """

    def __init__(
        self,
        embedding_size: int = 1024,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 0.1,
        projector_sizes: Sequence[int] = PROJECTOR_SIZES,
    ) -> None:
        check_not_negative(invariance=invariance, variance=variance, covariance=covariance)
        super().__init__(projector((embedding_size, *projector_sizes)))
        self.weights = {
            "invariance": invariance,
            "variance": variance,
            "covariance": covariance,
        }

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """The loss; logs its three terms, weighted: they add up to it."""
        terms = {
            name: weight * term
            for (name, weight), term in zip(
                self.weights.items(), vicreg_terms(student), strict=True
            )
        }
        total = torch.stack(list(terms.values())).sum()
        return LossOutput(total, {name: term.detach() for name, term in terms.items()})
