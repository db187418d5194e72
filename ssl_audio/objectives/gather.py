"""One batch over all processes, with gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather(x: Tensor) -> Tensor:
    """Join every process's `(V, n, D)` into `(V, N, D)`, in the order of the ranks.

    Each process then computes the loss of the whole batch. The backward pass sums the processes'
    equal gradients and hands each its own rows, so each holds `world size` times the gradient of
    its rows; DistributedDataParallel's average over the processes divides by the same number, and
    what the optimiser sees is the gradient of one process with the whole batch.
    """
    if processes() == 1:
        return x
    return _Gather.apply(x)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = x.shape[1]
        x = x.contiguous()
        parts = [torch.empty_like(x) for _ in range(processes())]
        dist.all_gather(parts, x)
        return torch.cat(parts, dim=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        return gradient[:, dist.get_rank() * ctx.rows :][:, : ctx.rows]
