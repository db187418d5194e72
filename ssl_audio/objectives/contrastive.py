"""Contrastive learning: NT-Xent.

The most stable of the five and the best on music tagging (Meseguer-Brocal et al. 2024), with one
hyperparameter.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_audio.objectives.objective import (
    LossOutput,
    Objective,
    check_positive,
    check_views,
    full_precision,
    other_views,
)
from ssl_audio.objectives.projector import PROJECTOR_SIZES, projector


@full_precision
def nt_xent(z: Tensor, temperature: float = 0.1) -> Tensor:
    """Normalised temperature-scaled cross-entropy (Chen et al. 2020, "SimCLR", Eq. 1).

    Every segment is compared with all V N - 1 others of the batch by one matrix product. Each of
    its V - 1 positives has a log term of its own, and the terms are averaged; the denominator is
    over all the others, positives included.

    Args:
        z: (V, N, D) projections of V views of N tracks, V >= 2, N >= 2; need not be normalised.
        temperature: above 0.

    Returns:
        Scalar, mean over segments and positives; log(V N - 1) when all cosines are equal.

    Raises:
        SslAudioError: a temperature that is not positive, or projections of another shape.
    """
    check_positive(temperature=temperature)
    check_views(z, 2)
    unit = F.normalize(z, dim=-1)
    flat = unit.flatten(0, 1)
    itself = torch.eye(len(flat), dtype=torch.bool, device=z.device)
    logits = (flat @ flat.T / temperature).masked_fill(itself, -torch.inf)
    # mean over positives of (log denominator - positive): the first is the same for all of them
    return logits.logsumexp(dim=1).mean() - _positive_cosines(unit).mean() / temperature


def _positive_cosines(unit: Tensor) -> Tensor:
    """(V (V - 1), N) cosines of the same track's different views."""
    return other_views(torch.einsum("ind,jnd->ijn", unit, unit))


@torch.no_grad()
@full_precision
def mean_similarities(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cosine of positives and of negatives, each in [-1, 1].

    Args:
        z: (V, N, D), N >= 2.
    """
    unit = F.normalize(z, dim=-1)
    views, pairs, _ = z.shape
    positive = _positive_cosines(unit)
    # the sum of all cosines is the squared length of the sum of all unit vectors
    everything = unit.sum((0, 1)).square().sum()
    own = unit.square().sum()
    negatives = views * views * pairs * (pairs - 1)
    return positive.mean(), (everything - own - positive.sum()) / negatives


class Contrastive(Objective):
    """NT-Xent whose negatives are the other tracks of the batch, both views.

    Args:
        embedding_size: size of the encoder's output.
        temperature: of the softmax, above 0; 0.1 in the multi-view comparison.
        projector_sizes: widths of the projector after the embedding.

    Raises:
        SslAudioError: the temperature is not above 0.
    """

    def __init__(
        self,
        embedding_size: int = 1024,
        temperature: float = 0.1,
        projector_sizes: Sequence[int] = PROJECTOR_SIZES,
    ) -> None:
        check_positive(temperature=temperature)
        super().__init__(projector((embedding_size, *projector_sizes)))
        self.temperature = temperature

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """NT-Xent; logs `positive_similarity` and `negative_similarity`, mean cosines."""
        total = nt_xent(student, self.temperature)
        positive, negative = mean_similarities(student.detach())
        return LossOutput(total, {"positive_similarity": positive, "negative_similarity": negative})
