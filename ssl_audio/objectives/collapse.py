"""How spread out representations are: what tells a healthy run from a collapsed one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def embedding_std(x: Tensor) -> Tensor:
    """Mean deviation of the unit vectors' coordinates, times sqrt(D): 1 is isotropic, 0 constant.

    Args:
        x: (N, D).
    """
    return F.normalize(x, dim=-1).std(0).mean() * x.shape[1] ** 0.5


def rankme(x: Tensor, epsilon: float = 1e-7) -> Tensor:
    """Effective rank, 1 to min(N, D) (Garrido et al. 2023, Eq. 1 and 2).

    The exponential of the entropy of the singular values, normalised to sum to 1.

    Args:
        x: (N, D).
    """
    gram = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    singular = torch.linalg.eigvalsh(gram.double()).clamp_min(0).sqrt()
    p = singular / singular.sum().clamp_min(epsilon) + epsilon
    return (-(p * p.log()).sum()).exp()


def alignment(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared distance of positive pairs on the unit sphere (Wang and Isola 2020), 0 to 4.

    Args:
        a, b: (N, D).
    """
    return (F.normalize(a, dim=-1) - F.normalize(b, dim=-1)).square().sum(-1).mean()


def uniformity(x: Tensor, t: float = 2.0) -> Tensor:
    """Log of the mean Gaussian potential of all pairs (Wang and Isola 2020); lower is more even.

    Args:
        x: (N, D), N >= 2.
        t: the potential's exponent.
    """
    return torch.pdist(F.normalize(x, dim=-1)).square().mul(-t).exp().mean().log()


def cluster_perplexity(probabilities: Tensor) -> Tensor:
    """How many clusters a batch uses, 1 to K: the exponential of the mean assignment's entropy.

    Args:
        probabilities: (N, K), rows sum to 1.
    """
    mean = probabilities.mean(0)
    return torch.special.entr(mean).sum().exp()
