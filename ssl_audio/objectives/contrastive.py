"""Contrastive learning: NT-Xent."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_audio.errors import SslAudioError
from ssl_audio.models.projector import projector
from ssl_audio.objectives.objective import LossOutput, Objective, check_views


def nt_xent(z: Tensor, temperature: float = 0.1) -> Tensor:
    """Normalised temperature-scaled cross-entropy (Sohn 2016; Chen et al. 2020, Eq. 1).

    Every segment is compared with all others of the batch by one matrix product. With more than
    two views each positive has a log term of its own and they are averaged.

    Args:
        z: (V, N, D) projections, V >= 2, N >= 2.
        temperature: above 0.

    Returns:
        Scalar.

    Raises:
        SslAudioError: a temperature that is not positive, or projections of another shape.
    """
    if not temperature > 0:
        raise SslAudioError(f"temperature={temperature}: must be above 0")
    check_views(z, 2)
    with torch.autocast(z.device.type, enabled=False):
        similarity = _similarities(z) / temperature
        log_probability = similarity - similarity.logsumexp(dim=1, keepdim=True)
        positives = _positives(z.shape[0], z.shape[1], z.device)
        return -log_probability[positives].mean()


def _similarities(z: Tensor) -> Tensor:
    """(V N, V N) cosines, the diagonal at minus infinity: nobody is compared with itself."""
    flat = z.flatten(0, 1)
    unit = F.normalize(flat if flat.dtype == torch.float64 else flat.float(), dim=-1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=z.device)
    return (unit @ unit.T).masked_fill(itself, -torch.inf)


def _positives(views: int, pairs: int, device: torch.device) -> Tensor:
    """(V N, V N) mask of segments of the same track."""
    track = torch.arange(pairs, device=device).repeat(views)
    same = track[:, None] == track[None, :]
    return same & ~torch.eye(views * pairs, dtype=torch.bool, device=device)


class Contrastive(Objective):
    """NT-Xent with in-batch negatives.

    Args:
        embedding_size: size of the encoder's output.
        temperature: of the softmax; 0.1 in the multi-view comparison.
    """

    def __init__(self, embedding_size: int = 1024, temperature: float = 0.1) -> None:
        if not temperature > 0:
            raise SslAudioError(f"objective.temperature={temperature}: must be above 0")
        super().__init__(projector((embedding_size, 1024, 1024, 2048)))
        self.temperature = temperature

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        total = nt_xent(student, self.temperature)
        return LossOutput(total, _terms(student.detach()))


@torch.no_grad()
def _terms(z: Tensor) -> dict[str, Tensor]:
    cosine = _similarities(z)
    positive = _positives(z.shape[0], z.shape[1], z.device)
    negative = ~positive & ~torch.eye(len(cosine), dtype=torch.bool, device=z.device)
    return {"positive": cosine[positive].mean(), "negative": cosine[negative].mean()}
