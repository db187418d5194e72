"""Collectives with gradient: one batch over all processes.

Each of W processes computes the same loss L of the gathered batch. The backward pass of a
collective sums over processes, so that each process holds W times the gradient of L through its own
rows. DistributedDataParallel sums these over the processes and divides by W, which gives the
gradient of L for the whole batch: no further factor is needed.
"""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.nn import functional

from ssl_audio.io.errors import SslAudioError


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(x: Tensor) -> Tensor:
    """(V, n, D) of each of W processes to (V, W n, D), in the order of the ranks, with gradient.

    The identity on one process. Half precision is widened to float32, so that gradients are summed
    in float32.

    Raises:
        SslAudioError: the shapes differ; raised on all processes.
    """
    if world_size() == 1:
        return x
    _check_same_shape(x)
    half = x.dtype in (torch.float16, torch.bfloat16)
    return _Gather.apply(x.float() if half else x)


def all_reduce(x: Tensor) -> Tensor:
    """Sum over the processes of equal shapes, with gradient; the identity on one process."""
    return x if world_size() == 1 else functional.all_reduce(x)


def _check_same_shape(x: Tensor) -> None:
    own = torch.tensor(x.shape, device=x.device)
    gathered = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(gathered, own)
    shapes = {tuple(shape.tolist()) for shape in gathered}
    if len(shapes) > 1:
        raise SslAudioError(
            f"the processes have projections of shapes {sorted(shapes)}: data.batch_size must be "
            f"a multiple of the {world_size()} processes"
        )


class _Gather(torch.autograd.Function):
    """torch's own `all_gather` gives wrong gradients with gloo where they are not contiguous."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = x.shape[1]
        x = x.contiguous()
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x)
        return torch.cat(parts, dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # the reduction is in place, and autograd may still use the incoming tensor
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.narrow(1, dist.get_rank() * ctx.rows, ctx.rows)
