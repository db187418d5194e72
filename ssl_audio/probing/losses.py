"""The loss of tags: binary cross-entropy of labelled cells, or cross-entropy over classes."""

import torch.nn.functional as F
from torch import Tensor

from ssl_audio.datasets.dataset import UNLABELLED


def tag_loss(logits: Tensor, targets: Tensor, weights: Tensor, single_label: bool) -> Tensor:
    """The weighted mean loss: over the labelled cells, or over the rows if each has one tag; 0
    if no cell has a weight.

    Args:
        logits: (rows, tags).
        targets: (rows, tags) of the same type: 0, 1 or UNLABELLED.
        weights: (rows,) 0 or more.
        single_label: each row has exactly one tag.
    """
    if single_label:
        each = F.cross_entropy(logits, targets, reduction="none")
        return (each * weights).sum() / weights.sum().clamp_min(1)
    cells = (targets != UNLABELLED) * weights[:, None]
    each = F.binary_cross_entropy_with_logits(logits, targets.clamp(max=1), reduction="none")
    return (each * cells).sum() / cells.sum().clamp_min(1)
