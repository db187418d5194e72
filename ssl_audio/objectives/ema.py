"""Exponential moving average of the student's weights: the teacher."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.schedules import Schedule


@dataclass(frozen=True)
class HalfLife:
    """A momentum that suits a run of any length: old weights count half after a share of the run.

    A step that covers the share s of the run has the momentum m = 0.5 ** (s / share), so that after
    the share p of the run the first weights count 0.5 ** (p / share), for any number of steps. A
    constant momentum of 0.996 leaves 55 % of the random first weights after 150 steps.

    Raises:
        SslAudioError: `share` is not above 0.
    """

    share: float = 0.02

    def __post_init__(self) -> None:
        if not self.share > 0:
            raise SslAudioError(f"share={self.share}: a share of the run, above 0")

    def momentum(self, step_share: float) -> float:
        """The momentum of a step that covers `step_share` of the run."""
        return float(0.5 ** (step_share / self.share))


DEFAULT_MOMENTUM = HalfLife()


def momentum_of_step(momentum: Schedule | HalfLife, progress: float, step_share: float) -> float:
    """The momentum of one step.

    Args:
        momentum: a value per step as a function of progress, or a half-life.
        progress: finished share of the run before the step.
        step_share: share of the run that the step covers.
    """
    if isinstance(momentum, HalfLife):
        return momentum.momentum(step_share)
    return momentum(progress)


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """teacher <- momentum * teacher + (1 - momentum) * student, for every parameter.

    Floating-point buffers are averaged too, and counters copied. The statistics of batch norms in
    training mode are left unchanged, since the teacher measures its own.

    Args:
        teacher, student: of the same structure; only the teacher changes.
        momentum: 0 (a copy) to 1 (no change).

    Raises:
        SslAudioError: momentum out of range, or modules of different structure.
    """
    if not 0 <= momentum <= 1:
        raise SslAudioError(f"momentum={momentum}: must lie between 0 and 1")
    measured = _measured_statistics(teacher)
    target, source = _state(teacher), _state(student)
    if [(n, t.shape) for n, t in target.items()] != [(n, t.shape) for n, t in source.items()]:
        raise SslAudioError("teacher and student differ in the names or shapes of parameters")
    for name, tensor in target.items():
        if name in measured:
            continue
        if tensor.is_floating_point():
            tensor.lerp_(source[name].to(tensor), 1 - momentum)
        else:
            tensor.copy_(source[name])


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _measured_statistics(module: nn.Module) -> set[str]:
    """Names of the running statistics of batch norms in training mode."""
    return {
        f"{name}.{buffer}" if name else buffer
        for name, child in module.named_modules()
        if isinstance(child, _BatchNorm) and child.training
        for buffer, _ in child.named_buffers(recurse=False)
    }
