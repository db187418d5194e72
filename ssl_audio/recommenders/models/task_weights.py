"""How much each of several tasks counts in one loss: by hand, or by its own uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

FLOOR = 0.05  # least variance: M2GRL, section 5.3, so that no weight passes 20


class FixedWeights(nn.Module):
    """A weighted sum, `sum_t c_t L_t`: MUSIG, equation 6; M2GRL, equation 5.

    Args:
        weights: of each task, 0 or more.

    Raises:
        ValueError: a negative weight, or none above 0.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        if min(weights.values()) < 0 or not any(weights.values()):
            raise ValueError(f"task weights {dict(weights)}: 0 or more, and one above 0")
        self.weights = dict(weights)

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The total of the tasks' losses, each a scalar."""
        return torch.stack([self.weights[t] * loss for t, loss in losses.items()]).sum()

    def current(self) -> dict[str, float]:
        """The weight of each task."""
        return self.weights


class LearntWeights(nn.Module):
    """Homoscedastic uncertainty: `sum_t L_t / s_t + log s_t`, with s_t a learnt variance.

    M2GRL, equation 10, and the floor of its section 5.3: where the variance would fall below
    `floor`, it is set to it. log s_t is what is learnt, and starts at 0.

    Args:
        tasks: their names.
        floor: least variance.
    """

    def __init__(self, tasks: Sequence[str], floor: float = FLOOR) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.floor = floor
        self.log_variance = nn.Parameter(torch.zeros(len(self.tasks)))

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The total of the tasks' losses, each a scalar; those of all tasks are wanted."""
        with torch.no_grad():  # as gradients are clipped: after a step that went too far
            self.log_variance.clamp_(min=math.log(self.floor))
        stacked = torch.stack([losses[t] for t in self.tasks])
        return (stacked * torch.exp(-self.log_variance) + self.log_variance).sum()

    def current(self) -> dict[str, float]:
        """The weight of each task, 1 / variance."""
        weights = torch.exp(-self.log_variance.detach()).clamp(max=1 / self.floor)
        return dict(zip(self.tasks, weights.tolist(), strict=True))
