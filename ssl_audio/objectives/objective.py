"""What every objective is: the one interface that the training step knows."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from ssl_audio.errors import SslAudioError
from ssl_audio.objectives.schedules import Schedule


@dataclass
class LossOutput:
    """A loss to minimise, and its parts to log.

    Attributes:
        total: scalar, with gradient.
        terms: scalars by name.
    """

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)


class Objective(nn.Module):
    """Base of all objectives; write your own as a subclass and name it in a recipe.

    Attributes:
        projector: (B, embedding_size) to (B, D); a teacher has its own copy.
        predictor: (B, D) to (B, D), on the student only; the identity by default.
        momentum: when set, the training module keeps an EMA teacher at this momentum.
        minimum_batch: fewest pairs in a batch for which the loss is defined.
    """

    projector: nn.Module
    predictor: nn.Module
    momentum: Schedule | None
    minimum_batch: int = 2

    def __init__(self, projector: nn.Module, momentum: Schedule | None = None) -> None:
        super().__init__()
        self.projector = projector
        self.predictor = nn.Identity()
        self.momentum = momentum

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """The loss of one batch; changes no state.

        Args:
            student: (V, N, D) predictions, gathered over the processes.
            teacher: (V, N, D) projections of the teacher, or None without `momentum`.
            progress: how much of the run is done, 0 to 1.
        """
        raise NotImplementedError

    def after_step(self, teacher: Tensor | None, progress: float) -> None:
        """Update state (a centre, say) once the optimiser has stepped."""


def check_views(z: Tensor, minimum: int) -> None:
    """Refuse what is not (V, N, D) with two or more views and enough pairs.

    Raises:
        SslAudioError: says which shape was given.
    """
    if z.ndim != 3 or z.shape[0] < 2:
        raise SslAudioError(
            f"projections are (views, pairs, D) with 2 views or more, not {tuple(z.shape)}"
        )
    if z.shape[1] < minimum:
        raise SslAudioError(
            f"a batch of {z.shape[1]}: this objective needs {minimum} pairs or more "
            "(data.batch_size)"
        )
