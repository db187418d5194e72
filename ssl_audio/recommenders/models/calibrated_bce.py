"""Binary cross-entropy of the next token against sampled ones, calibrated for their number.

Petrov and Macdonald 2023, "gSASRec: Reducing overconfidence in sequential recommendation trained
with negative sampling" (gBCE). Of a target with logit s, and k of N others with logits s_j, drawn
uniformly, with alpha = k / N,

    L = -(beta log sigmoid(s) + sum_j log(1 - sigmoid(s_j))) / (k + 1),
    beta = alpha (t (1 - 1 / alpha) + 1 / alpha).

t from 0 (plain binary cross-entropy, whose probabilities are too high) to 1 (probabilities as
without sampling).
"""

import torch.nn.functional as F
from torch import Tensor

from ssl_audio.recommenders.models.sampled_softmax import logits_of


def calibrated_bce_loss(
    hidden: Tensor,
    targets: Tensor,
    target_vectors: Tensor,
    negatives: Tensor,
    negative_vectors: Tensor,
    candidates: int,
    calibration: float,
) -> Tensor:
    """(n,) losses, of float32 or wider; a sampled token that is a target is left out there.

    Args:
        hidden, targets, target_vectors, negatives, negative_vectors, candidates: as those of
            `sampled_softmax_loss`.
        calibration: t.
    """
    own, logits = logits_of(hidden, target_vectors, negative_vectors)
    others = targets[:, None] != negatives
    sampled = others.sum(-1).to(logits.dtype)
    alpha = sampled / max(candidates - 1, 1)
    beta = calibration * (alpha - 1) + 1
    of_others = (F.softplus(logits) * others).sum(-1)
    return (beta * F.softplus(-own) + of_others) / (sampled + 1)
