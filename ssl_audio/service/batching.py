"""One network for several requests at a time: what comes while it is busy is computed together."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_ROWS = 64  # segments in a batch


@dataclass(eq=False)
class _Call:
    """Inputs of one thread, and what became of them."""

    inputs: Tensor
    outputs: Tensor | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.outputs is not None or self.error is not None


class BatchedNetwork:
    """A network that many threads call, and that runs on the rows of all who wait for it.

    The first caller runs it at once, alone; callers that come meanwhile are taken together next,
    by one of them. Nobody waits for a batch to fill. Rows do not depend on the others of a batch,
    but for rounding.

    Args:
        network: (rows, ...) to (rows, d); called by one thread at a time.
        observe: called with the number of rows of each batch.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], observe: Callable[[int], None]) -> None:
        self._network, self._observe = network, observe
        self._free = threading.Condition()
        self._waiting: list[_Call] = []
        self._busy = False

    def __call__(self, inputs: Tensor) -> Tensor:
        """(rows, ...) to (rows, d): what the network gives.

        Raises:
            Exception: that of the network, in all calls of a batch.
        """
        own = _Call(inputs)
        with self._free:
            self._waiting.append(own)
        while not own.done:
            with self._free:
                self._free.wait_for(lambda: own.done or not self._busy)
                if own.done:
                    break
                batch = self._next_batch()
                self._busy = True
            try:
                self._run(batch)
            finally:
                with self._free:
                    self._busy = False
                    self._free.notify_all()
        if own.error is not None:
            raise own.error
        assert own.outputs is not None
        return own.outputs

    def _next_batch(self) -> list[_Call]:
        """The calls that waited longest, of equal shape; one at least."""
        first = self._waiting[0]
        batch, rows = [first], len(first.inputs)
        for call in self._waiting[1:]:
            fits = rows + len(call.inputs) <= MAX_ROWS
            if fits and call.inputs.shape[1:] == first.inputs.shape[1:]:
                batch.append(call)
                rows += len(call.inputs)
        self._waiting = [call for call in self._waiting if call not in batch]
        return batch

    def _run(self, batch: list[_Call]) -> None:
        counts = [len(call.inputs) for call in batch]
        self._observe(sum(counts))
        try:
            with torch.inference_mode():
                found = self._network(torch.cat([call.inputs for call in batch]))
        except Exception as error:
            for call in batch:
                call.error = error
            return
        for call, outputs in zip(batch, found.split(counts), strict=True):
            call.outputs = outputs
