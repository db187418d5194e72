"""AdamW of embedding tables with sparse gradients."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


class SparseAdamW(torch.optim.SparseAdam):
    """Adam of the rows that have a gradient, with decoupled weight decay of these rows.

    The cost of a step does not grow with the table. Other rows neither move nor decay: a row decays
    once for each step that uses it, instead of once a step.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], learning_rate: float, weight_decay: float
    ) -> None:
        super().__init__(list(params), lr=learning_rate)
        self.weight_decay = weight_decay

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step; all gradients are sparse."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    table.grad = table.grad.coalesce()
                    rows = table.grad.indices()[0]
                    table[rows] = table[rows] * (1 - group["lr"] * self.weight_decay)
        return super().step(closure)
