"""What every objective is: the one interface that the training step knows.

To write a sixth: subclass `Objective` in a file of your own, make a projector, implement `loss`,
and name the class in a recipe by `_target_`. State that must survive a resume is a buffer or a
submodule; everything that changes over the run is a schedule.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.schedules import Schedule


@dataclass
class LossOutput:
    """A loss to minimise, and its parts to log.

    Attributes:
        total: scalar, with gradient.
        terms: scalars by name, without gradient.
    """

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)


class Objective(nn.Module):
    """Base of all objectives.

    Args:
        projector: see the attribute.
        momentum: see the attribute.
        predictor: see the attribute; None is the identity.

    Attributes:
        projector: (B, embedding_size) to (B, D); a teacher has its own copy.
        predictor: (B, D) to (B, D), on the student only.
        momentum: when set, the training module keeps an EMA teacher at this momentum.
        minimum_batch: fewest pairs, over all processes, for which the loss is defined.
    """

    projector: nn.Module
    predictor: nn.Module
    momentum: Schedule | None
    minimum_batch: int = 2

    def __init__(
        self,
        projector: nn.Module,
        momentum: Schedule | None = None,
        predictor: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.projector = projector
        self.predictor = nn.Identity() if predictor is None else predictor
        self.momentum = momentum

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """The loss of one batch; changes no state.

        Args:
            student: (V, N, D) predictions of V views of N tracks, gathered over the processes.
            teacher: (V, N, D) projections of the teacher, or None without `momentum`.
            progress: how much of the run is done, 0 to 1.

        Raises:
            SslAudioError: shapes or a batch size for which the loss is not defined.
        """
        raise NotImplementedError

    def after_step(self, teacher: Tensor | None, progress: float) -> None:
        """Update state (a centre, say) once the optimiser has stepped.

        Args:
            teacher: (V, N, D), all that the teacher gave for this step, over processes and
                accumulated batches; None without `momentum`.
            progress: how much of the run was done before the step, 0 to 1.
        """


def check_views(z: Tensor, minimum: int = 1, teacher: Tensor | None = None) -> None:
    """Refuse what is not (V, N, D) with two or more views and enough pairs.

    Args:
        z: the student's.
        minimum: fewest pairs N.
        teacher: when given, must have the same shape.

    Raises:
        SslAudioError: says which shape was given.
    """
    shape = tuple(z.shape)
    if z.ndim != 3 or shape[0] < 2:
        raise SslAudioError(f"projections must be (views >= 2, pairs, dimensions), not {shape}")
    if shape[1] < minimum:
        given = "a batch of one pair" if shape[1] == 1 else f"a batch of {shape[1]} pairs"
        raise SslAudioError(
            f"{given}: this loss compares the pairs of a batch and needs {minimum} or more "
            "(data.batch_size)"
        )
    if teacher is not None and teacher.shape != z.shape:
        raise SslAudioError(
            f"student {shape} and teacher {tuple(teacher.shape)} must have the same shape"
        )


def need_teacher(teacher: Tensor | None, objective: Objective) -> Tensor:
    """The teacher's projections.

    Raises:
        SslAudioError: there are none.
    """
    if teacher is None:
        raise SslAudioError(
            f"{type(objective).__name__} needs a teacher's projections and was given None: the "
            "training step keeps a teacher when `objective.momentum` is set"
        )
    return teacher


def check_positive(**values: float) -> None:
    """Refuse a setting that is not above 0, by its name.

    Raises:
        SslAudioError: says which, and its value.
    """
    for name, value in values.items():
        if not value > 0:
            raise SslAudioError(f"{name}={value}: must be above 0")


def check_not_negative(**values: float) -> None:
    """Refuse a setting below 0, by its name.

    Raises:
        SslAudioError: says which, and its value.
    """
    for name, value in values.items():
        if not value >= 0:
            raise SslAudioError(f"{name}={value}: must be 0 or above")


def full_precision(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compute a loss in float32 (or float64, when given that) even under autocast.

    Exponentials of cosines over a temperature of 0.1 and 2048 x 2048 correlations need more than
    bfloat16's eight bits.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
        with torch.autocast(tensors[0].device.type, enabled=False):
            return function(
                *(_widened(x) for x in args), **{k: _widened(x) for k, x in kwargs.items()}
            )

    return wrapped


def _widened(x: Any) -> Any:
    half = isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16)
    return x.float() if half else x


def other_views(values: Tensor) -> Tensor:
    """(V, V, ...) to (V (V - 1), ...): every ordered pair of two different views."""
    views = values.shape[0]
    different = ~torch.eye(views, dtype=torch.bool, device=values.device)
    return values[different]
