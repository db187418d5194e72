"""BYOL: predict a slow teacher's projection of the other view; no negatives."""

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
    need_teacher,
    other_views,
)
from ssl_audio.objectives.projector import PROJECTOR_SIZES, projector
from ssl_audio.objectives.schedules import Cosine, Schedule

DEFAULT_MOMENTUM = Cosine(start=0.996, end=1.0)


@full_precision
def byol_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared distance of unit vectors (Grill et al. 2020, Eq. 2), symmetric over the views.

    2 - 2 cos over the features, averaged over tracks and over ordered pairs of different views.
    The paper adds its two directions up; their mean is half of that and does not grow with V.

    Args:
        prediction: (V, N, D), the student's, V >= 2.
        target: (V, N, D), the teacher's; gets no gradient.

    Returns:
        Scalar in [0, 4].

    Raises:
        SslAudioError: shapes that are wrong or differ.
    """
    check_views(prediction, teacher=target)
    p = F.normalize(prediction, dim=-1)
    t = F.normalize(target.detach(), dim=-1)
    return (2 - 2 * other_views(torch.einsum("ind,jnd->ijn", p, t))).mean()


class BYOL(Objective):
    """BYOL with a predictor D -> hidden -> D (batch norm and ReLU between).

    Args:
        embedding_size: size of the encoder's output.
        hidden: width of the predictor.
        momentum: of the teacher; 0.996 rising to 1 along a cosine, as in the paper.
        projector_sizes: widths of the projector after the embedding.

    Raises:
        SslAudioError: `hidden` is not above 0.
    """

    momentum: Schedule

    def __init__(
        self,
        embedding_size: int = 1024,
        hidden: int = 256,
        momentum: Schedule = DEFAULT_MOMENTUM,
        projector_sizes: Sequence[int] = PROJECTOR_SIZES,
    ) -> None:
        check_positive(hidden=hidden)
        size = projector_sizes[-1]
        super().__init__(
            projector((embedding_size, *projector_sizes)),
            momentum=momentum,
            predictor=projector((size, hidden, size)),
        )

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """Distance to the teacher; logs `similarity`, the mean cosine to the other view."""
        teacher = need_teacher(teacher, self)
        check_views(student, self.minimum_batch)
        total = byol_loss(student, teacher)
        return LossOutput(total, {"similarity": 1 - total.detach() / 2})
