"""Clustering: match a slow teacher's centred and sharpened assignment of the other view."""

from __future__ import annotations

import torch
import torch.distributed
from torch import Tensor

from ssl_audio.models.projector import projector
from ssl_audio.objectives.collapse import cluster_perplexity
from ssl_audio.objectives.objective import LossOutput, Objective, check_views
from ssl_audio.objectives.schedules import Cosine, Linear, Schedule


def cluster_cross_entropy(
    student: Tensor,
    teacher: Tensor,
    centre: Tensor,
    student_temperature: float,
    teacher_temperature: float,
) -> Tensor:
    """Cross-entropy of cluster assignments between views (Caron et al. 2021, Eq. 2 and 3).

    Args:
        student, teacher: (V, N, K) scores of the clusters.
        centre: (K,), subtracted from the teacher's.
        student_temperature, teacher_temperature: above 0; the lower, the sharper.
    """
    check_views(student, 1)
    with torch.autocast(student.device.type, enabled=False):
        kind = torch.float64 if student.dtype == torch.float64 else torch.float32
        log_p = (student.to(kind) / student_temperature).log_softmax(-1)
        target = assignment(teacher, centre, teacher_temperature).to(kind)
        cross = -torch.einsum("ink,jnk->ijn", target, log_p)
        other = ~torch.eye(len(log_p), dtype=torch.bool, device=log_p.device)
        return cross[other].mean()


def assignment(teacher: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """(..., K) probabilities of the clusters, without gradient."""
    kind = torch.float64 if teacher.dtype == torch.float64 else torch.float32
    return ((teacher.detach().to(kind) - centre) / temperature).softmax(-1)


class Clustering(Objective):
    """DINO's loss on the common projector, whose 2048 outputs are the clusters.

    Args:
        embedding_size: size of the encoder's output.
        clusters: how many.
        momentum: of the teacher; default is 0.996 rising to 1 along a cosine.
        centre_momentum: of the centre's running mean.
        student_temperature: above 0.
        teacher_start, teacher_end: the teacher's temperature before and after warm-up.
        teacher_warmup: fraction of the run that the warm-up takes.
    """

    centre: Tensor

    def __init__(
        self,
        embedding_size: int = 1024,
        clusters: int = 2048,
        momentum: Schedule | None = None,
        centre_momentum: float = 0.9,
        student_temperature: float = 0.1,
        teacher_start: float = 0.02,
        teacher_end: float = 0.04,
        teacher_warmup: float = 0.1,
    ) -> None:
        super().__init__(
            projector((embedding_size, 1024, 1024, clusters)), momentum or Cosine(0.996, 1.0)
        )
        self.student_temperature = student_temperature
        self.teacher_temperature = Linear(teacher_start, teacher_end, teacher_warmup)
        self.centre_momentum = centre_momentum
        self.register_buffer("centre", torch.zeros(clusters))

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        assert teacher is not None
        check_views(student, self.minimum_batch)
        temperature = self.teacher_temperature(progress)
        total = cluster_cross_entropy(
            student, teacher, self.centre, self.student_temperature, temperature
        )
        used = assignment(teacher, self.centre, temperature).flatten(0, 1)
        largest = torch.tensor(float(used.argmax(-1).unique().numel()), device=used.device)
        return LossOutput(total, {"perplexity": cluster_perplexity(used), "clusters_used": largest})

    @torch.no_grad()
    def after_step(self, teacher: Tensor | None, progress: float) -> None:
        """Move the centre towards the mean of the teacher's scores (Eq. 4)."""
        assert teacher is not None
        mean = teacher.float().flatten(0, 1).mean(0)
        self.centre.mul_(self.centre_momentum).add_(mean, alpha=1 - self.centre_momentum)
