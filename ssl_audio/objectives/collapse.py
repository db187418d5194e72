"""Measures of collapse: how spread out representations are."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_audio.objectives.objective import full_precision


@full_precision
def embedding_std(x: Tensor) -> Tensor:
    """Mean standard deviation of the coordinates of (N >= 2, D) rows of unit length, times sqrt(D).

    About 1 for isotropic directions, 0 if all are equal (Chen and He 2021, "SimSiam", section 4.1,
    without the factor).
    """
    return F.normalize(x, dim=-1).std(0).mean() * x.shape[1] ** 0.5


@full_precision
def rankme(x: Tensor) -> Tensor:
    """Effective rank of (N, D), 1 to min(N, D) (Garrido et al. 2023, "RankMe", Eq. 1 and 2).

    The exponential of the entropy of the singular values, normalised to sum to 1. They are computed
    from the smaller Gram matrix in float64, which is several times faster than decomposing `x`.

    Returns:
        Scalar, float32; 1 for a batch of zeros.
    """
    wide = x.detach()
    wide = (wide.cpu() if wide.device.type == "mps" else wide).double()  # mps has no float64
    gram = wide @ wide.T if wide.shape[0] <= wide.shape[1] else wide.T @ wide
    singular = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    total = singular.sum()
    if total == 0:
        return torch.ones((), device=x.device)
    p = singular / total + 1e-7  # as in the paper
    return (-(p * p.log()).sum()).exp().float().to(x.device)


@full_precision
def alignment(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared distance of (N, D) pairs on the unit sphere, 0 if equal, to 4 (Wang and Isola
    2020, Eq. 2)."""
    return (F.normalize(a, dim=-1) - F.normalize(b, dim=-1)).square().sum(-1).mean()


@full_precision
def uniformity(x: Tensor) -> Tensor:
    """Log of the mean Gaussian potential of all pairs of (N >= 2, D) (Wang and Isola 2020, Eq. 3).

    Returns:
        Scalar, 0 (all rows have the same direction) or below; lower is more uniform.
    """
    unit = F.normalize(x, dim=-1)
    squared = (2 - 2 * unit @ unit.T).clamp_min(0)
    first, second = torch.triu_indices(len(x), len(x), 1, device=x.device)
    potentials = -2 * squared[first, second]  # t = 2
    return potentials.logsumexp(0) - torch.tensor(float(len(potentials))).log().to(potentials)


@full_precision
def cluster_perplexity(probabilities: Tensor) -> Tensor:
    """Exponential of the entropy of the mean of (N, K) assignments: 1 (one cluster) to K."""
    return torch.special.entr(probabilities.mean(0)).sum().exp()


def cluster_usage(probabilities: Tensor) -> Tensor:
    """Number of clusters that are the most probable of some row of (N, K), divided by min(N, K)."""
    chosen = torch.zeros(probabilities.shape[1], device=probabilities.device)
    chosen[probabilities.argmax(-1)] = 1.0  # unlike unique, no synchronisation with the device
    return chosen.sum() / min(probabilities.shape)
