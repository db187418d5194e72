"""The optimiser that the settings name, of any class."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.models.weight_decay import parameter_groups
from ssl_audio.settings.components import instantiate
from ssl_audio.settings.pretrain import PretrainSettings


def build_optimizer(settings: PretrainSettings) -> Callable[[list[dict[str, Any]]], Optimizer]:
    """The optimiser as a function of parameter groups, tried on a kernel and a bias.

    Raises:
        SslAudioError: it cannot be made from its settings, or cannot train such parameters.
    """
    given = {key: v for key, v in settings.optimizer.items() if key != "weight_decay"}
    make = instantiate(given, "optimizer", _partial_=True)
    if getattr(make, "func", None) is getattr(torch.optim, "Muon", object):
        raise SslAudioError(
            "optimizer._target_=torch.optim.Muon takes matrices alone, and networks have kernels "
            "and biases too: optimizer._target_=timm.optim.Muon trains all of them"
        )
    tried = [nn.Parameter(torch.ones(4, 2, 3, 3)), nn.Parameter(torch.zeros(4))]
    for parameter in tried:
        parameter.grad = torch.ones_like(parameter)
    try:
        make(parameter_groups(tried, 0.1)).step(lambda: torch.zeros(()))
    except Exception as error:  # of many types, depending on the class
        raise SslAudioError(f"optimizer: {first_line(error)}") from error
    return make
