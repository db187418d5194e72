"""Weights of several tasks in one loss: fixed, or learnt from each task's uncertainty."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError

MIN_VARIANCE = 0.05  # M2GRL, section 5.3: no weight is above 20


class FixedWeights(nn.Module):
    """The weighted sum of the losses, `sum_t c_t L_t`: MUSIG, equation 6; M2GRL, equation 5."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = dict(weights)

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The total of scalar losses by task."""
        return torch.stack([self.weights[t] * loss for t, loss in losses.items()]).sum()

    def current(self) -> dict[str, float]:
        """The weight of each task."""
        return self.weights


class LearntWeights(nn.Module):
    """Homoscedastic uncertainty, `sum_t L_t / s_t + log s_t`, with a learnt variance s_t per task.

    M2GRL, equation 10, with the minimal variance of section 5.3. log s_t is learnt and starts at 0.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.log_variance = nn.Parameter(torch.zeros(len(self.tasks)))

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The total of scalar losses by task, of all tasks."""
        with torch.no_grad():  # corrects a step of the optimiser below the minimum
            self.log_variance.clamp_(min=math.log(MIN_VARIANCE))
        stacked = torch.stack([losses[t] for t in self.tasks])
        return (stacked * torch.exp(-self.log_variance) + self.log_variance).sum()

    def current(self) -> dict[str, float]:
        """The weight of each task, 1 / variance."""
        weights = torch.exp(-self.log_variance.detach()).clamp(max=1 / MIN_VARIANCE)
        return dict(zip(self.tasks, weights.tolist(), strict=True))


def task_weights(
    weights: str | tuple[float, ...], tasks: Sequence[str]
) -> FixedWeights | LearntWeights:
    """The module of a setting: "learnt", "uniform", or one number for each task.

    Raises:
        SslAudioError: another number of weights than of tasks, or none above 0.
    """
    if weights == "learnt":
        return LearntWeights(tasks)
    if weights == "uniform":
        return FixedWeights(dict.fromkeys(tasks, 1.0))
    if isinstance(weights, str) or len(weights) != len(tasks) or not any(weights):
        raise SslAudioError(
            f"m2grl.weights={weights}: learnt, uniform, or a number for each of the tasks "
            f"{', '.join(tasks)}, one of them above 0"
        )
    return FixedWeights(dict(zip(tasks, weights, strict=True)))
