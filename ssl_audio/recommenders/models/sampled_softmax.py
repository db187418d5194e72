"""Softmax cross-entropy over a large vocabulary, estimated from a few sampled tokens.

The loss of a target with logit t among others with logits x_j is log Z - t, with Z = e^t + X and
X = sum over the N others of e^(x_j). From m others, drawn uniformly without replacement,

    X' = N / m * sum_sampled e^(x_j),    Z' = e^t + X'

estimate Z without bias. log Z' is too small on average, since the logarithm is concave. To second
order about Z (trecs, appendix, "Bias of Sampled Softmax Cross-Entropy")

    E[log Z'] = log Z - Var(X') / (2 Z^2),    Var(X') = N^2 s^2 / m * (1 - m / N),

with s^2 the unbiased variance of e^(x_j) over the others. The corrected loss adds this term, with
s^2 and Z estimated from the sample. The remaining bias is of the third order.
"""

import math

import torch
from torch import Tensor


def sampled_softmax_loss(
    hidden: Tensor,
    targets: Tensor,
    target_vectors: Tensor,
    negatives: Tensor,
    negative_vectors: Tensor,
    candidates: int,
    corrected: bool,
) -> Tensor:
    """Cross-entropy of each target, in nats.

    A sampled token that is a position's target is left out there, which leaves a uniform sample of
    the others. With a sample of the whole vocabulary this is the exact softmax.

    Args:
        hidden: (n, d) states.
        targets: (n,) tokens.
        target_vectors: (n, d).
        negatives: (S,) distinct tokens, uniform over the candidates, shared by all positions.
        negative_vectors: (S, d).
        candidates: number of tokens of the softmax, the target included.
        corrected: add the second-order term for the bias of the logarithm.

    Returns:
        (n,) losses, of float32 or wider.
    """
    own, logits = logits_of(hidden, target_vectors, negative_vectors)
    hits = targets[:, None] == negatives
    sampled = (~hits).sum(-1).to(logits.dtype)  # m
    others = candidates - 1  # N
    weight = math.log(max(others, 1)) - sampled.clamp(min=1).log()
    scaled = (logits + weight[:, None]).masked_fill(hits, -torch.inf)
    partition = torch.logsumexp(torch.cat([own[:, None], scaled], dim=-1), dim=-1)
    loss = partition - own
    if not corrected:
        return loss
    return loss + _relative_variance(scaled, partition, sampled, others) / 2


def _relative_variance(scaled: Tensor, partition: Tensor, sampled: Tensor, others: int) -> Tensor:
    """(n,) estimates of Var(X') / Z'^2; 0 where fewer than two tokens were sampled.

    The terms r_j = N / m e^(x_j) / Z' are at most 1, so that large logits do not overflow, and
    Var(X') / Z'^2 = m / (m - 1) * sum (r_j - mean r)^2 * (1 - m / N).
    """
    counted = scaled.isfinite()
    terms = (scaled - partition[:, None]).exp()
    mean = terms.sum(-1, keepdim=True) / sampled.clamp(min=1)[:, None]
    squares = ((terms - mean) ** 2 * counted).sum(-1)
    finite = (1 - sampled / max(others, 1)).clamp(min=0)
    factor = torch.where(sampled > 1, sampled / (sampled - 1).clamp(min=1) * finite, 0.0)
    return squares * factor


def logits_of(
    hidden: Tensor, target_vectors: Tensor, negative_vectors: Tensor
) -> tuple[Tensor, Tensor]:
    """(n,) logits of the targets and (n, S) of the negatives, of float32 or wider: for sums of
    exponentials."""
    own, logits = (hidden * target_vectors).sum(-1), hidden @ negative_vectors.T
    wide = torch.promote_types(logits.dtype, torch.float32)
    return own.to(wide), logits.to(wide)
