"""One batch over all processes, with gradient.

How the gradients add up. Every process computes the same loss L of the whole, gathered batch. The
backward of a collective sums over the processes, which is the gradient of the sum of the W
processes' losses, W L: each process holds W times the gradient of L through its own rows.
DistributedDataParallel then averages the processes' parameter gradients, that is it adds the rows'
shares and divides by W. What the optimiser sees is the gradient of L for the whole batch, as one
process with all the rows would compute it; no factor is to be added anywhere.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from ssl_audio.io.errors import SslAudioError


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(x: Tensor) -> Tensor:
    """Join every process's (V, n, D) into (V, N, D), in the order of the ranks, with gradient.

    On one process it is the identity. Half-precision input is widened to float32 first, so that
    the sum over processes in the backward pass is not rounded.

    Args:
        x: (V, n, D), the same shape on every process.

    Returns:
        (V, W n, D), the same on every process.

    Raises:
        SslAudioError: the processes' shapes differ (on all of them, so that none waits for ever).
    """
    if world_size() == 1:
        return x
    _check_same_shape(x)
    half = x.dtype in (torch.float16, torch.bfloat16)
    return _Gather.apply(x.float() if half else x)


def all_reduce(x: Tensor) -> Tensor:
    """Sum over the processes, with gradient (its backward sums the gradients, too).

    On one process it is the identity.

    Args:
        x: the same shape on every process.
    """
    return x if world_size() == 1 else _AllReduce.apply(x)


def _check_same_shape(x: Tensor) -> None:
    mine = torch.tensor(x.shape, device=x.device)
    shapes = [torch.empty_like(mine) for _ in range(world_size())]
    dist.all_gather(shapes, mine)
    given = {tuple(shape.tolist()) for shape in shapes}
    if len(given) > 1:
        raise SslAudioError(
            f"the processes hold projections of shapes {sorted(given)}: data.batch_size must be "
            f"a multiple of the {world_size()} processes"
        )


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = x.shape[1]
        x = x.contiguous()
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x)
        return torch.cat(parts, dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # a copy: the reduction is in place, and autograd may still hold the incoming tensor
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total.narrow(1, dist.get_rank() * ctx.rows, ctx.rows)


class _AllReduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _summed(gradients[0])


def _summed(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
