"""Embedding a batch in chunks, so that the memory of a step does not grow with the batch.

Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"
(GradCache): the network embeds one chunk after another and keeps the embeddings alone; projector,
predictor and loss see the whole batch; the backward pass embeds each chunk again, with the same
random numbers, to get its gradient. The gradient is that of the whole batch, unlike that of
accumulated batches, whose negatives are those of a part. A step takes about a third longer.

Each chunk is an activation checkpoint of torch, which embeds it again within the one backward pass
of the step, so that every parameter gets its gradient once, as DistributedDataParallel expects.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def number_of_chunks(pairs: int, chunk_size: int | None, processes: int) -> int:
    """Chunks of a step.

    Args:
        pairs: of this process.
        chunk_size: pairs embedded at once, over all processes; None: all.
        processes: number of processes.
    """
    return 1 if chunk_size is None else min(pairs, -(-pairs * processes // chunk_size))


def embed(network: nn.Module, inputs: Tensor, pairs: int, chunks: int, *more: Tensor) -> Tensor:
    """(views * pairs, ...) to (views * pairs, D), with as much memory as a chunk takes.

    Chunk k has the pairs k, k + chunks, k + 2 chunks ... with all their views, so that several
    processes with equal, contiguous shares of a batch have the chunks of one process, if their
    number divides a share. Batch norm in training uses the statistics of a chunk ("ghost" batch
    norm), and updates its running statistics once for each chunk. The network's further arguments,
    `more`, have the rows of `inputs`.
    """
    if chunks == 1:
        return network(inputs, *more)
    by_view = [x.unflatten(0, (-1, pairs)) for x in (inputs, *more)]
    parts = [[x[:, k::chunks].flatten(0, 1) for x in by_view] for k in range(chunks)]
    rows = [_embed_one(network, *part).unflatten(0, (len(by_view[0]), -1)) for part in parts]
    order = torch.cat([torch.arange(k, pairs, chunks) for k in range(chunks)])
    return torch.cat(rows, dim=1)[:, order.argsort().to(inputs.device)].flatten(0, 1)


def _embed_one(network: nn.Module, *inputs: Tensor) -> Tensor:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _running_statistics_kept(network)

    if not torch.is_grad_enabled():
        return network(*inputs)
    return checkpoint(network, *inputs, use_reentrant=False, context_fn=contexts)


@contextmanager
def _running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Batch norms leave their running statistics as they are.

    Not by `track_running_stats=False`: autograd would save other tensors than the first time.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    kept = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
    try:
        yield
    finally:
        for buffer, before in kept:
            buffer.copy_(before)
