"""Clustering (DINO, Caron et al. 2021): match an EMA teacher's assignment of the other view."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives import objective
from ssl_audio.objectives.collapse import cluster_perplexity, cluster_usage
from ssl_audio.objectives.ema import DEFAULT_MOMENTUM, HalfLife
from ssl_audio.objectives.objective import LossOutput, Objective
from ssl_audio.objectives.projector import PROJECTOR_SIZES, projector
from ssl_audio.objectives.schedules import Linear, Schedule

DEFAULT_TEACHER_TEMPERATURE = Linear(start=0.02, end=0.04, until=0.1)


@objective.full_precision
def cluster_assignment(teacher: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """softmax((teacher - centre) / temperature): (..., K) probabilities, without gradient.

    Args:
        teacher: (..., K) scores.
        centre: (K,).
        temperature: above 0; lower is sharper.
    """
    objective.check_positive(teacher_temperature=temperature)
    return ((teacher.detach() - centre) / temperature).softmax(-1)


@objective.full_precision
def clustering_loss(
    student: Tensor, teacher: Tensor, centre: Tensor, student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
) -> Tensor:  # fmt: skip
    """Cross-entropy of cluster assignments between views (Caron et al. 2021, Eq. 1 to 3).

    -sum_k P_teacher(k | one view) log P_student(k | another view), averaged over tracks and over
    ordered pairs of different views.

    Args:
        student: (V, N, K) scores of K clusters, V >= 2.
        teacher: (W, N, K) for the first W <= V views (multi-crop); gets no gradient.
        centre: (K,), subtracted from the teacher's scores.
        student_temperature, teacher_temperature: above 0; lower is sharper.

    Raises:
        SslAudioError: a temperature that is not above 0, or shapes that are wrong or differ.

    Example:
        >>> scores = torch.zeros(2, 5, 8)  # both views assigned evenly to 8 clusters
        >>> loss = clustering_loss(scores, scores, centre=torch.zeros(8))
        >>> torch.isclose(loss, torch.tensor(8.0).log()).item()
        True
    """
    objective.check_positive(student_temperature=student_temperature)
    objective.check_views(student, teacher=teacher)
    target = cluster_assignment(teacher, centre, teacher_temperature)
    log_probability = (student / student_temperature).log_softmax(-1)
    return -objective.other_views(torch.einsum("ink,jnk->ijn", target, log_probability)).mean()


class Clustering(Objective):
    """DINO's loss on the shared projector, whose outputs are the scores of the clusters.

    Args:
        momentum: of the teacher: a half-life, or a value per step over the run.
        centre_momentum: of the centre's running mean, in [0, 1).
        student_temperature: above 0.
        teacher_temperature: over the run; a sharper teacher at first leads a small batch away from
            the uniform assignment.
        projector_sizes: widths of the projector after the embedding; the last is the number of
            clusters.

    Raises:
        SslAudioError: an argument out of range.
    """

    centre: Tensor

    def __init__(
        self, embedding_size: int = 1024, momentum: Schedule | HalfLife = DEFAULT_MOMENTUM,
        centre_momentum: float = 0.9, student_temperature: float = 0.1,
        teacher_temperature: Schedule = DEFAULT_TEACHER_TEMPERATURE,
        projector_sizes: Sequence[int] = PROJECTOR_SIZES,
    ) -> None:  # fmt: skip
        objective.check_positive(student_temperature=student_temperature)
        if not 0 <= centre_momentum < 1:
            raise SslAudioError(f"centre_momentum={centre_momentum}: must lie in [0, 1)")
        super().__init__(projector((embedding_size, *projector_sizes)), momentum=momentum)
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature
        self.centre_momentum = centre_momentum
        self.register_buffer("centre", torch.zeros(projector_sizes[-1]))

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """Cross-entropy; logs `perplexity`, `usage` and `teacher_entropy` of the assignments.

        `perplexity` is that of the mean assignment (1 to K), `usage` the share of possible clusters
        that are the most probable one of some segment, `teacher_entropy` the mean entropy of a
        segment's assignment, nats.
        """
        teacher = objective.require_teacher(teacher, self)
        objective.check_views(student, self.min_batch_size)
        temperature = self.teacher_temperature(progress)
        total = clustering_loss(
            student, teacher, self.centre, self.student_temperature, temperature
        )
        assigned = cluster_assignment(teacher, self.centre, temperature).flatten(0, 1)
        terms = {
            "perplexity": cluster_perplexity(assigned),
            "usage": cluster_usage(assigned),
            "teacher_entropy": torch.special.entr(assigned).sum(-1).mean(),
        }
        return LossOutput(total, terms)

    @torch.no_grad()
    def after_step(self, teacher: Tensor | None, progress: float) -> None:
        """Move the centre towards the mean of the teacher's scores (Caron et al. 2021, Eq. 4)."""
        mean = objective.require_teacher(teacher, self).to(self.centre).flatten(0, 1).mean(0)
        self.centre.lerp_(mean, 1 - self.centre_momentum)
