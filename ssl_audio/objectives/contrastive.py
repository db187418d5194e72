"""Contrastive learning with NT-Xent (SimCLR, Chen et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_audio.objectives import objective
from ssl_audio.objectives.objective import LossOutput, Objective
from ssl_audio.objectives.projector import PROJECTOR_SIZES, projector


@objective.full_precision
def nt_xent(z: Tensor, temperature: float = 0.1) -> Tensor:
    """Normalised temperature-scaled cross-entropy (Chen et al. 2020, Eq. 1).

    For segment i with positive j, both among the V N segments of the batch,

        l(i, j) = -log(exp(cos(i, j) / temperature) / sum_{k != i} exp(cos(i, k) / temperature)),

    averaged over all segments and over their V - 1 positives.

    Args:
        z: (V, N, D) projections of V >= 2 views of N >= 2 tracks, of any length.
        temperature: above 0.

    Returns:
        Scalar; log(V N - 1) if all cosines are equal.

    Raises:
        SslAudioError: a wrong temperature or shape.

    Example:
        >>> views = torch.eye(4).expand(2, 4, 4)  # four tracks, both views of each equal
        >>> round(nt_xent(views, temperature=0.5).item(), 4)
        0.5944
    """
    objective.check_positive(temperature=temperature)
    objective.check_views(z, 2)
    unit = F.normalize(z, dim=-1)
    flat = unit.flatten(0, 1)
    itself = torch.eye(len(flat), dtype=torch.bool, device=z.device)
    logits = (flat @ flat.T / temperature).masked_fill(itself, -torch.inf)
    # the denominator is the same for all positives of a segment
    return logits.logsumexp(dim=1).mean() - _positive_cosines(unit).mean() / temperature


def _positive_cosines(unit: Tensor) -> Tensor:
    """(V (V - 1), N) cosines of different views of the same track."""
    return objective.other_views(torch.einsum("ind,jnd->ijn", unit, unit))


@torch.no_grad()
@objective.full_precision
def mean_similarities(z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cosine of positives and of negatives of (V, N >= 2, D) projections."""
    unit = F.normalize(z, dim=-1)
    views, pairs, _ = z.shape
    positive = _positive_cosines(unit)
    # the sum of all cosines is the squared norm of the sum of all unit vectors
    everything = unit.sum((0, 1)).square().sum()
    itself = unit.square().sum()
    negatives = views * views * pairs * (pairs - 1)
    return positive.mean(), (everything - itself - positive.sum()) / negatives


class Contrastive(Objective):
    """NT-Xent; the negatives are both views of all other tracks of the batch.

    Args:
        embedding_size: dimensions of the embedding.
        temperature: of the softmax, above 0.
        projector_sizes: widths of the projector after the embedding.

    Raises:
        SslAudioError: the temperature is not above 0.
    """

    def __init__(
        self, embedding_size: int = 1024, temperature: float = 0.1,
        projector_sizes: Sequence[int] = PROJECTOR_SIZES,
    ) -> None:  # fmt: skip
        objective.check_positive(temperature=temperature)
        super().__init__(projector((embedding_size, *projector_sizes)))
        self.temperature = temperature

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """NT-Xent; logs the mean cosines `positive_similarity` and `negative_similarity`."""
        total = nt_xent(student, self.temperature)
        positive, negative = mean_similarities(student.detach())
        return LossOutput(total, {"positive_similarity": positive, "negative_similarity": negative})
