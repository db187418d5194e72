"""Contrastive learning with NT-Xent (SimCLR, Chen et al. 2020)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives import objective
from ssl_audio.objectives.objective import LossOutput, Objective
from ssl_audio.objectives.projector import PROJECTOR_SIZES, projector


@objective.full_precision
def nt_xent(
    z: Tensor, temperature: float = 0.1, smoothing: float = 0.0, groups: Tensor | None = None,
    group_weight: float = 0.0,
) -> Tensor:  # fmt: skip
    """Normalised temperature-scaled cross-entropy (Chen et al. 2020, Eq. 1).

    For segment i with positive j, both among the V N segments of the batch,

        l(i, j) = -log(exp(cos(i, j) / temperature) / sum_{k != i} exp(cos(i, k) / temperature)),

    averaged over all segments and over their V - 1 positives.

    With smoothing s, the logit of the positive is replaced by (1 - s) times itself plus s times the
    mean logit of all k != i (Szegedy et al. 2016). With groups, an exponential in the sum whose row
    is another one of the same group, such as a second pair of the track, has a weight; the mean
    logit of the smoothing is weighted alike.

    Args:
        z: (V, N, D) projections of V >= 2 views of N >= 2 tracks, of any length.
        temperature: above 0.
        smoothing: of the targets, in [0, 1).
        groups: (N,) whole numbers, equal for rows of the same track; None: all differ.
        group_weight: of other rows of the same group in the sum, 0 (left out) to 1 (as any other).

    Returns:
        Scalar; log(V N - 1) if all cosines are equal.

    Raises:
        SslAudioError: a wrong temperature, smoothing, weight or shape.

    Example:
        >>> views = torch.eye(4).expand(2, 4, 4)  # four tracks, both views of each equal
        >>> round(nt_xent(views, temperature=0.5).item(), 4)
        0.5944
    """
    _check_options(temperature, smoothing, group_weight)
    objective.check_views(z, 2)
    unit = F.normalize(z, dim=-1)
    flat = unit.flatten(0, 1)
    itself = torch.eye(len(flat), dtype=torch.bool, device=z.device)
    logits = (flat @ flat.T / temperature).masked_fill(itself, -torch.inf)
    if groups is not None:
        weights = _weights(groups, z.shape[0], group_weight)
        logits = logits + weights.to(z.dtype).log()
    # the denominator is the same for all positives of a segment
    target = _positive_cosines(unit).mean() / temperature
    if smoothing:
        used = ~itself if groups is None else weights.masked_fill(itself, 0)
        used = used.to(z.dtype) / used.sum(1, keepdim=True)
        everything = (used * (flat @ flat.T)).sum(1).mean() / temperature
        target = (1 - smoothing) * target + smoothing * everything
    return logits.logsumexp(dim=1).mean() - target


def _check_options(temperature: float, smoothing: float, group_weight: float) -> None:
    objective.check_positive(temperature=temperature)
    if not 0 <= smoothing < 1:
        raise SslAudioError(f"smoothing={smoothing}: must lie in [0, 1)")
    if not 0 <= group_weight <= 1:
        raise SslAudioError(f"same_track_weight={group_weight}: must lie in [0, 1]")


def _weights(groups: Tensor, views: int, weight: float) -> Tensor:
    """(V N, V N): `weight` where two different rows have the same group, else 1."""
    same = groups[:, None] == groups[None, :]
    same.fill_diagonal_(False)
    return torch.where(same, weight, 1.0).repeat(views, views)


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
    """NT-Xent; the negatives are all views of all other rows of the batch.

    Args:
        temperature: of the softmax, above 0.
        smoothing: of the targets, in [0, 1): rows that are easy to tell apart count less.
        same_track_weight: of negatives from other rows of the same track, 0 (left out) to 1.

    Raises:
        SslAudioError: an argument out of range.
    """

    def __init__(
        self, embedding_size: int = 1024, temperature: float = 0.1, smoothing: float = 0.0,
        same_track_weight: float = 1.0, projector_sizes: Sequence[int] = PROJECTOR_SIZES,
    ) -> None:  # fmt: skip
        _check_options(temperature, smoothing, same_track_weight)
        super().__init__(projector((embedding_size, *projector_sizes)))
        self.temperature, self.smoothing = temperature, smoothing
        self.same_track_weight = same_track_weight
        self.needs_groups = same_track_weight != 1

    def loss(
        self, student: Tensor, teacher: Tensor | None, progress: float,
        groups: Tensor | None = None,
    ) -> LossOutput:  # fmt: skip
        """NT-Xent; logs the mean cosines `positive_similarity` and `negative_similarity`."""
        total = nt_xent(student, self.temperature, self.smoothing, groups, self.same_track_weight)
        positive, negative = mean_similarities(student.detach())
        return LossOutput(total, {"positive_similarity": positive, "negative_similarity": negative})
