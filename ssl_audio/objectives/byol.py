"""BYOL (Grill et al. 2020): predict an EMA teacher's projection of the other view."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_audio.objectives import objective
from ssl_audio.objectives.ema import DEFAULT_MOMENTUM, HalfLife
from ssl_audio.objectives.objective import LossOutput, Objective
from ssl_audio.objectives.projector import PROJECTOR_SIZES, projector
from ssl_audio.objectives.schedules import Schedule


@objective.full_precision
def byol_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared distance of unit vectors, 0 to 4 (Grill et al. 2020, Eq. 2), symmetric in the views.

    2 - 2 cos(prediction of one view, target of another view), averaged over tracks and over ordered
    pairs of different views. For two views this is half of the paper's sum of both directions.

    Args:
        prediction: (V, N, D) of the student, V >= 2.
        target: (W, N, D) of the teacher for the first W <= V views; gets no gradient.

    Raises:
        SslAudioError: shapes that are wrong or differ.

    Example:
        >>> prediction = torch.eye(3).expand(2, 3, 3)
        >>> byol_loss(prediction, prediction).item(), byol_loss(prediction, -prediction).item()
        (0.0, 4.0)
    """
    objective.check_views(prediction, teacher=target)
    p = F.normalize(prediction, dim=-1)
    t = F.normalize(target.detach(), dim=-1)
    return (2 - 2 * objective.other_views(torch.einsum("ind,jnd->ijn", p, t))).mean()


class BYOL(Objective):
    """BYOL with a predictor D -> hidden -> D, batch norm and ReLU between.

    Args:
        hidden: width of the predictor, above 0.
        momentum: of the teacher: a half-life, or a value per step over the run.

    Raises:
        SslAudioError: `hidden` is not above 0.
    """

    def __init__(
        self, embedding_size: int = 1024, hidden: int = 256,
        momentum: Schedule | HalfLife = DEFAULT_MOMENTUM,
        projector_sizes: Sequence[int] = PROJECTOR_SIZES,
    ) -> None:  # fmt: skip
        objective.check_positive(hidden=hidden)
        size = projector_sizes[-1]
        super().__init__(
            projector((embedding_size, *projector_sizes)),
            momentum=momentum,
            predictor=projector((size, hidden, size)),
        )

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """Distance to the teacher; logs `similarity`, the mean cosine to the other view."""
        teacher = objective.require_teacher(teacher, self)
        objective.check_views(student, self.min_batch_size)
        total = byol_loss(student, teacher)
        return LossOutput(total, {"similarity": 1 - total.detach() / 2})
