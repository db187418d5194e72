"""BYOL: predict a slow teacher's projection of the other view."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_audio.models.projector import projector
from ssl_audio.objectives.objective import LossOutput, Objective, check_views
from ssl_audio.objectives.schedules import Cosine, Schedule


def byol_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared distance of unit vectors, 2 - 2 cos, in [0, 4] (Grill et al. 2020, Eq. 2), symmetric.

    Args:
        prediction, target: (V, N, D); every prediction is compared with every other view's target.
    """
    check_views(prediction, 1)
    with torch.autocast(prediction.device.type, enabled=False):
        kind = torch.float64 if prediction.dtype == torch.float64 else torch.float32
        p = F.normalize(prediction.to(kind), dim=-1)
        t = F.normalize(target.detach().to(kind), dim=-1)
        cosine = torch.einsum("ind,jnd->ijn", p, t)
        other = ~torch.eye(len(p), dtype=torch.bool, device=p.device)
        return (2 - 2 * cosine[other]).mean()


class BYOL(Objective):
    """BYOL with a predictor 2048 -> 256 -> 2048.

    Args:
        embedding_size: size of the encoder's output.
        hidden: width of the predictor.
        momentum: of the teacher; default is 0.996 rising to 1 along a cosine.
    """

    def __init__(
        self, embedding_size: int = 1024, hidden: int = 256, momentum: Schedule | None = None
    ) -> None:
        super().__init__(
            projector((embedding_size, 1024, 1024, 2048)), momentum or Cosine(0.996, 1.0)
        )
        self.predictor = projector((2048, hidden, 2048))

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        assert teacher is not None
        check_views(student, self.minimum_batch)
        total = byol_loss(student, teacher)
        return LossOutput(total, {"cosine": 1 - total.detach() / 2})
