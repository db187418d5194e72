"""The interface of all objectives, and what their losses share."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.ema import HalfLife
from ssl_audio.objectives.patches import Patches
from ssl_audio.objectives.schedules import Schedule

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class LossOutput:
    """A loss and its parts."""

    total: Tensor  # scalar with gradient
    terms: dict[str, Tensor] = field(default_factory=dict)  # scalars to log, by name


class Objective(nn.Module):
    """Base class of objectives.

    A subclass makes a projector and implements `loss`. State that a checkpoint must hold is a
    buffer or a submodule; everything that changes over the run is a schedule. Its arguments
    `embedding_size` and `projector_sizes` are the dimensions of the embedding, and the widths of
    the projector after it.

    Attributes:
        views: min crops of each track in one step: anchor, positive, then further crops.
        needs_groups: `loss` takes `groups`, (N,) whole numbers, equal for rows of the same track.
        needs_targets: `loss` takes `targets`, (V, N, T) outputs of a frozen teacher for the views;
            the class is made with their number, `target_size`.
        visible: share of the patches of a log-mel that the student sees, while a teacher sees the
            others: the network is a vision transformer, and embeddings are latents of patches,
            (B, k, embedding_size); None: both see whole log-mels.
        min_batch_size: min number of pairs, over all processes, for which the loss is defined.
        projector: (B, embedding_size) to (B, D); an EMA teacher has a copy of its own.
        predictor: (B, D) to (B, D), on the student only; default is the identity.
        momentum: of the EMA teacher: a half-life in share of the run, or a value per step over the
            run; None: there is no teacher.
    """

    views: int = 2
    needs_groups: bool = False
    needs_targets: bool = False
    visible: float | None = None
    min_batch_size: int = 2
    projector: nn.Module
    predictor: nn.Module
    momentum: Schedule | HalfLife | None

    def __init__(
        self, projector: nn.Module, momentum: Schedule | HalfLife | None = None,
        predictor: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.projector = projector
        self.predictor = nn.Identity() if predictor is None else predictor
        self.momentum = momentum

    def predict(self, embeddings: Tensor, patches: Patches | None) -> Tensor:
        """What the loss compares: the student's embeddings through projector and predictor.

        Args:
            embeddings: (B, embedding_size), or (B, k, embedding_size) of seen patches.
            patches: which patches these are; None without `visible`.
        """
        return self.predictor(self.projector(embeddings))

    def loss(self, student: Tensor, teacher: Tensor | None, progress: float) -> LossOutput:
        """The loss of one batch; changes no state.

        Args:
            student: (V, N, D) predictions for V views of N tracks of all processes.
            teacher: (W, N, D) projections of the teacher for the first W <= V views, those of the
                anchor's length; None without `momentum`.
            progress: finished share of the run, 0 to 1.

        Raises:
            SslAudioError: the loss is not defined for these shapes.
        """
        raise NotImplementedError

    def after_step(self, teacher: Tensor | None, progress: float) -> None:
        """Update buffers, such as a centre, after a step of the optimiser.

        Args:
            teacher: (W, N, D) projections of the teacher in the step; None without `momentum`.
            progress: finished share of the run before the step, 0 to 1.
        """


def check_views(z: Tensor, min_pairs: int = 1, teacher: Tensor | None = None) -> None:
    """Refuse projections that are not (V >= 2, N >= min_pairs, D), or do not fit the teacher's.

    The teacher's are (W, N, D) of the first W <= V views.

    Raises:
        SslAudioError: names the shape.
    """
    shape = tuple(z.shape)
    if z.ndim != 3 or shape[0] < 2:
        raise SslAudioError(f"projections must be (views >= 2, pairs, dimensions), not {shape}")
    if shape[1] < min_pairs:
        raise SslAudioError(
            f"a batch of {shape[1]}: this loss compares the pairs of a batch and needs {min_pairs} "
            "or more (data.batch_size)"
        )
    if teacher is not None and (
        teacher.shape[1:] != z.shape[1:] or not 1 <= teacher.shape[0] <= shape[0]
    ):
        raise SslAudioError(
            f"student {shape} and teacher {tuple(teacher.shape)} must have the same shape but for "
            "the views, of which the teacher may have fewer"
        )


def require_teacher(teacher: Tensor | None, objective: Objective) -> Tensor:
    """The teacher's projections.

    Raises:
        SslAudioError: there are none.
    """
    if teacher is None:
        raise SslAudioError(
            f"{type(objective).__name__} needs projections of a teacher: the training step keeps "
            "a teacher if `objective.momentum` is set"
        )
    return teacher


def check_positive(**values: float) -> None:
    """Raise an SslAudioError that names the first value that is not above 0."""
    for name, value in values.items():
        if not value > 0:
            raise SslAudioError(f"{name}={value}: must be above 0")


def check_not_negative(**values: float) -> None:
    """Raise an SslAudioError that names the first value below 0."""
    for name, value in values.items():
        if not value >= 0:
            raise SslAudioError(f"{name}={value}: must be 0 or above")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Compute a function of tensors in float32, or in float64 if given that, even under autocast.

    The 8 bits of bfloat16 are too few for exponentials of cosines over 0.1 and for sums of 2048
    squared correlations.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(x.device.type for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
        with torch.autocast(device, enabled=False):
            widened = {key: _widened(x) for key, x in kwargs.items()}
            return function(*map(_widened, args), **widened)  # type: ignore[arg-type]

    return wrapped


def _widened(x: Any) -> Any:
    half = isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16)
    return x.float() if half else x


def other_views(values: Tensor) -> Tensor:
    """(V, W, ...) to the ordered pairs of different views; for W = V, (V (V - 1), ...)."""
    same = torch.eye(*values.shape[:2], dtype=torch.bool, device=values.device)
    return values[~same]
