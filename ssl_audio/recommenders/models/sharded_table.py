"""An embedding table whose rows lie in several processes, for one larger than a machine.

Row r is with process r mod P. A look-up sends each process the row numbers that it owns, without
duplicates, and gets their vectors back; on the way back each gradient goes to the row's owner, who
alone keeps that row's optimiser state. So the memory of a process is 1 / P of the table, and its
traffic is in proportion to its batch. Gradients are those of the mean loss over the processes, as
of `DistributedDataParallel`: P processes with a part of the batch each train as one with the whole.

The way to an engine from here: this is the layout that TorchRec calls row-wise sharding
(`EmbeddingBagCollection` under `DistributedModelParallel`, `ShardingType.ROW_WISE`), which does the
same two exchanges with NCCL, keeps cold rows on the host, and steps the optimiser within the
backward pass: replace this class with its collection, and `average_gradients` with its dense part.
For models that pass messages over the graph, PyTorch Geometric partitions it by node
(`torch_geometric.distributed.Partitioner`, then `DistNeighborLoader`), with node numbers that give
the owner as `r mod P` does here. Skip-gram needs no graph, only sequences: each process samples
from its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 65_536  # rows drawn at a time


def initial_rows(rows: int, dimensions: int, seed: int, part: int = 0, parts: int = 1) -> Tensor:
    """Vectors to start from, uniform within +-1 / (2 d) as word2vec's: the same for any parts.

    Args:
        rows: of the whole table.
        dimensions: d.
        seed: of the drawing.
        part, parts: which of how many; row r is of part r mod parts.

    Returns:
        (rows of the part, d) float32, in the order of the table.
    """
    rng = np.random.default_rng(seed)
    kept = []
    for start in range(0, rows, BLOCK):
        block = rng.random((min(BLOCK, rows - start), dimensions), np.float32)
        kept.append(block[(part - start) % parts :: parts])
    return torch.from_numpy((np.concatenate(kept) - 0.5) / dimensions)


class _Exchange(torch.autograd.Function):
    """Rows to the processes that want them; gradients, divided by the processes, back."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sent: list[int], received: list[int]) -> Tensor:
        ctx.sent, ctx.received = sent, received
        return _exchange(rows, sent, received)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        returned = _exchange(gradients[0], ctx.received, ctx.sent)
        return returned / dist.get_world_size(), None, None


def _exchange(rows: Tensor, sent: list[int], received: list[int]) -> Tensor:
    found = rows.new_empty((sum(received), *rows.shape[1:]))
    dist.all_to_all_single(found, rows.contiguous(), received, sent)
    return found


class ShardedEmbedding(nn.Module):
    """A process's part of a table; `forward` is that of `nn.Embedding`, over all its rows.

    All processes of the default group must look up together, as often as each other, though not
    the same number of rows.

    Args:
        rows: of the whole table.
        dimensions: d of a row.
        sparse: gradients that name only the rows that were looked up (`torch.optim.SparseAdam`).
    """

    def __init__(self, rows: int, dimensions: int, sparse: bool = False) -> None:
        super().__init__()
        self.rows, self.sparse = rows, sparse
        self.part, self.parts = dist.get_rank(), dist.get_world_size()
        own = len(range(self.part, rows, self.parts))
        self.weight = nn.Parameter(torch.zeros(own, dimensions))

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors of rows: (...) integers to (..., d)."""
        wanted, inverse = torch.unique(ids, return_inverse=True)
        owner = wanted % self.parts
        order = torch.argsort(owner, stable=True)
        asked = torch.bincount(owner, minlength=self.parts)
        served = torch.empty_like(asked)
        dist.all_to_all_single(served, asked)
        to, back = asked.tolist(), served.tolist()
        rows = _exchange(wanted[order], to, back) // self.parts
        own = F.embedding(rows, self.weight, sparse=self.sparse)
        vectors = _Exchange.apply(own, back, to)
        return F.embedding(torch.argsort(order)[inverse], vectors)

    @torch.no_grad()
    def whole(self) -> Tensor:
        """(rows, d) of all the processes, in each of them: for tables that fit."""
        table = self.weight.new_zeros(self.rows, self.weight.shape[1])
        table[self.part :: self.parts] = self.weight
        dist.all_reduce(table)
        return table


def average_gradients(model: nn.Module) -> None:
    """Average, over the processes, the gradients of all that is not in a sharded table."""
    for module in model.modules():
        if not isinstance(module, ShardedEmbedding):
            for parameter in module.parameters(recurse=False):
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= dist.get_world_size()


@torch.no_grad()
def clip_gradients(model: nn.Module, limit: float) -> Tensor:
    """Scale a model's gradients to a norm of at most `limit`, as `clip_grad_norm_`.

    Unlike it, for sparse gradients too (they are coalesced) and over all parts of sharded tables.

    Returns:
        The norm before.
    """
    for parameter in model.parameters():
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.coalesce()
    tables = [m.weight for m in model.modules() if isinstance(m, ShardedEmbedding)]
    own = {id(weight) for weight in tables}
    squared = _squares(p for p in model.parameters() if id(p) not in own)
    if tables:
        squared_tables = _squares(tables)
        dist.all_reduce(squared_tables)
        squared = squared + squared_tables
    norm = squared.sqrt()
    factor = torch.clamp(limit / (norm + 1e-6), max=1.0)
    for parameter in model.parameters():
        if parameter.grad is not None:
            _values(parameter.grad).mul_(factor)
    return norm


def _values(gradient: Tensor) -> Tensor:
    return gradient._values() if gradient.is_sparse else gradient


def _squares(parameters: Iterable[nn.Parameter]) -> Tensor:
    found = [_values(p.grad).square().sum() for p in parameters if p.grad is not None]
    return torch.stack(found).sum() if found else torch.zeros(())
