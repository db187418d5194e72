"""The teacher's slow pursuit of the student."""

import torch
from torch import nn


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """teacher <- momentum * teacher + (1 - momentum) * student, for every parameter.

    Buffers that are fractions (running means and variances) follow in the same way; counters are
    copied.

    Args:
        teacher, student: of the same structure.
        momentum: 0 to 1.
    """
    pairs = list(zip(teacher.parameters(), student.parameters(), strict=True))
    old: list[torch.Tensor] = [t for t, _ in pairs]
    new = [s.detach() for _, s in pairs]
    torch._foreach_lerp_(old, new, 1 - momentum)
    for ours, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
        if ours.is_floating_point():
            ours.lerp_(theirs, 1 - momentum)
        else:
            ours.copy_(theirs)
