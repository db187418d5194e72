"""VICReg (Bardes et al. 2022): invariance between views, variance and decorrelation within each."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from ssl_audio.objectives import objective
from ssl_audio.objectives.objective import LossOutput, Objective
from ssl_audio.objectives.projector import PROJECTOR_SIZES, projector

EPSILON = 1e-4  # of Eq. 2: bounds the gradient of the square root


@objective.full_precision
def vicreg_terms(z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three terms of `vicreg_loss`, unweighted."""
    objective.check_views(z, 2)
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


def vicreg_loss(
    z: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> Tensor:
    """Weighted sum of invariance, variance and covariance (Bardes et al. 2022, Eq. 1 to 6).

    - invariance: mean squared difference of two views over tracks and dimensions (as in the
      authors' code; Eq. 5 sums over the dimensions);
    - variance: mean of max(0, 1 - standard deviation) over dimensions and views (as in the authors'
      code; Eq. 6 has the sum over the two views);
    - covariance: sum of the squared covariances of different dimensions, divided by D, twice the
      mean over views (the sum over two views).

    Args:
        z: (V, N, D), V >= 2, N >= 2.
        invariance, variance, covariance: weights (lambda, mu, nu), 0 or above.

    Raises:
        SslAudioError: a weight below 0, or a wrong shape.

    Example:
        >>> constant = torch.ones(2, 4, 8)  # collapsed: only the variance term is not 0
        >>> round(vicreg_loss(constant).item(), 2)
        24.75
    """
    objective.check_not_negative(invariance=invariance, variance=variance, covariance=covariance)
    terms = vicreg_terms(z)
    return invariance * terms[0] + variance * terms[1] + covariance * terms[2]


class VICReg(Objective):
    """VICReg.

    N rows span N - 1 dimensions, so that D > N dimensions of unit variance are correlated, and the
    covariance term falls by shrinking them. At standard deviation 1 its pull is
    8 * covariance * D / N against 25 of the variance term: 32 in the paper (1, D 8192, N 2048), 6
    to 26 with these defaults at batches of 256 to 64.

    Args:
        invariance, variance, covariance: weights of the terms, 0 or above.

    Raises:
        SslAudioError: a weight below 0.
    """

    def __init__(
        self, embedding_size: int = 1024, invariance: float = 25.0, variance: float = 25.0,
        covariance: float = 0.1, projector_sizes: Sequence[int] = PROJECTOR_SIZES,
    ) -> None:  # fmt: skip
        weights = {"invariance": invariance, "variance": variance, "covariance": covariance}
        objective.check_not_negative(**weights)
        super().__init__(projector((embedding_size, *projector_sizes)))
        self.weights = weights

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """The loss; logs its three weighted terms."""
        unweighted = zip(self.weights.items(), vicreg_terms(student), strict=True)
        terms = {name: weight * term for (name, weight), term in unweighted}
        total = torch.stack(list(terms.values())).sum()
        return LossOutput(total, {name: term.detach() for name, term in terms.items()})
