"""The teacher: an exponential moving average of the student."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl_audio.io.errors import SslAudioError


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """teacher <- momentum * teacher + (1 - momentum) * student, for every parameter.

    Buffers: a batch norm in training mode measures its running statistics on the teacher's own
    activations, so they are left alone; in evaluation mode nobody measures them, and they follow
    by the same average. Other fractional buffers are averaged, counters copied.

    Args:
        teacher, student: of the same structure; only the teacher changes.
        momentum: 0 (a copy) to 1 (no change).

    Raises:
        SslAudioError: momentum out of range, or modules of another structure.
    """
    if not 0 <= momentum <= 1:
        raise SslAudioError(f"momentum={momentum}: must lie between 0 and 1")
    measured = _measured_by_itself(teacher)
    ours, theirs = _state(teacher), _state(student)
    if [(n, t.shape) for n, t in ours.items()] != [(n, t.shape) for n, t in theirs.items()]:
        raise SslAudioError("teacher and student differ in their parameters' names or shapes")
    for name, tensor in ours.items():
        if name in measured:
            continue
        if tensor.is_floating_point():
            tensor.lerp_(theirs[name].to(tensor), 1 - momentum)
        else:
            tensor.copy_(theirs[name])


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _measured_by_itself(module: nn.Module) -> set[str]:
    """Names of the statistics that batch norms in training mode keep."""
    return {
        f"{name}.{buffer}" if name else buffer
        for name, child in module.named_modules()
        if isinstance(child, _BatchNorm) and child.training
        for buffer, _ in child.named_buffers(recurse=False)
    }
