"""Clustering: match a slow teacher's centred and sharpened assignment of the other view (DINO)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.byol import DEFAULT_MOMENTUM
from ssl_audio.objectives.collapse import cluster_perplexity, cluster_usage
from ssl_audio.objectives.objective import (
    LossOutput,
    Objective,
    check_positive,
    check_views,
    full_precision,
    need_teacher,
    other_views,
)
from ssl_audio.objectives.projector import PROJECTOR_SIZES, projector
from ssl_audio.objectives.schedules import Linear, Schedule

DEFAULT_TEACHER_TEMPERATURE = Linear(start=0.02, end=0.04, until=0.1)


@full_precision
def cluster_assignment(teacher: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """The teacher's clusters, softmax((teacher - centre) / temperature), without gradient.

    Args:
        teacher: (..., K) scores.
        centre: (K,).
        temperature: above 0; the lower, the sharper.

    Returns:
        (..., K) probabilities.
    """
    check_positive(teacher_temperature=temperature)
    return ((teacher.detach() - centre) / temperature).softmax(-1)


@full_precision
def cluster_cross_entropy(
    student: Tensor,
    teacher: Tensor,
    centre: Tensor,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
) -> Tensor:
    """Cross-entropy of cluster assignments between views (Caron et al. 2021, Eq. 1 to 3).

    Averaged over tracks and over ordered pairs of different views.

    Args:
        student, teacher: (V, N, K) scores of the clusters, V >= 2; the teacher gets no gradient.
        centre: (K,), subtracted from the teacher's: keeps one cluster from taking all.
        student_temperature, teacher_temperature: above 0; the lower, the sharper.

    Returns:
        Scalar, 0 or above.

    Raises:
        SslAudioError: a temperature that is not above 0, or shapes that do not fit.
    """
    check_positive(student_temperature=student_temperature)
    check_views(student, teacher=teacher)
    target = cluster_assignment(teacher, centre, teacher_temperature)
    log_probability = (student / student_temperature).log_softmax(-1)
    return -other_views(torch.einsum("ink,jnk->ijn", target, log_probability)).mean()


class Clustering(Objective):
    """DINO's loss on the common projector, whose outputs are the scores of the clusters.

    Args:
        embedding_size: size of the encoder's output.
        momentum: of the teacher; 0.996 rising to 1 along a cosine, as in the paper.
        centre_momentum: of the centre's running mean, in [0, 1).
        student_temperature: above 0.
        teacher_temperature: over the run; 0.02 rising to 0.04 in its first tenth. A sharper
            teacher at first gets a small batch out of the uniform assignment it starts near.
        projector_sizes: widths of the projector after the embedding; the last is the number of
            clusters.

    Raises:
        SslAudioError: a setting out of range.
    """

    momentum: Schedule
    centre: Tensor

    def __init__(
        self,
        embedding_size: int = 1024,
        momentum: Schedule = DEFAULT_MOMENTUM,
        centre_momentum: float = 0.9,
        student_temperature: float = 0.1,
        teacher_temperature: Schedule = DEFAULT_TEACHER_TEMPERATURE,
        projector_sizes: Sequence[int] = PROJECTOR_SIZES,
    ) -> None:
        check_positive(student_temperature=student_temperature)
        if not 0 <= centre_momentum < 1:
            raise SslAudioError(f"centre_momentum={centre_momentum}: must lie in [0, 1)")
        super().__init__(projector((embedding_size, *projector_sizes)), momentum=momentum)
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature
        self.centre_momentum = centre_momentum
        self.register_buffer("centre", torch.zeros(projector_sizes[-1]))

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """Cross-entropy; logs `perplexity`, `usage` and `teacher_entropy` of the clusters.

        `perplexity` is of the mean assignment (1 to K: how many clusters the batch is spread
        over), `usage` the share of clusters that could be somebody's first choice in this batch
        and are, `teacher_entropy` the mean entropy (nats) of one segment's assignment.
        """
        teacher = need_teacher(teacher, self)
        check_views(student, self.minimum_batch)
        temperature = self.teacher_temperature(progress)
        total = cluster_cross_entropy(
            student, teacher, self.centre, self.student_temperature, temperature
        )
        chosen = cluster_assignment(teacher, self.centre, temperature).flatten(0, 1)
        terms = {
            "perplexity": cluster_perplexity(chosen),
            "usage": cluster_usage(chosen),
            "teacher_entropy": torch.special.entr(chosen).sum(-1).mean(),
        }
        return LossOutput(total, terms)

    @torch.no_grad()
    def after_step(self, teacher: Tensor | None, progress: float) -> None:
        """Move the centre towards the mean of the teacher's scores (Caron et al. 2021, Eq. 4)."""
        teacher = need_teacher(teacher, self)
        mean = teacher.to(self.centre).flatten(0, 1).mean(0)
        self.centre.lerp_(mean, 1 - self.centre_momentum)
