"""Parameter groups for weight decay."""

from collections.abc import Iterable
from typing import Any

from torch import nn


def parameter_groups(
    parameters: Iterable[nn.Parameter], weight_decay: float, exempt: Iterable[nn.Parameter] = ()
) -> list[dict[str, Any]]:
    """Split parameters so that only matrices and kernels decay, never a norm or a bias.

    Args:
        parameters: those that are trained are taken.
        weight_decay: of matrices and kernels.
        exempt: further parameters without decay, such as `exempt_from_decay` finds.
    """
    without = {id(parameter) for parameter in exempt}
    trained = [p for p in parameters if p.requires_grad]
    decaying = {id(p) for p in trained if p.ndim > 1 and id(p) not in without}
    return [
        {"params": [p for p in trained if id(p) in decaying], "weight_decay": weight_decay},
        {"params": [p for p in trained if id(p) not in decaying], "weight_decay": 0.0},
    ]


def exempt_from_decay(network: nn.Module) -> list[nn.Parameter]:
    """Position embeddings, class tokens and tables of relative positions.

    They are what `no_weight_decay()` of a module names, as timm's models have it: names of
    parameters within that module.
    """
    found = []
    for module in network.modules():
        named = getattr(module, "no_weight_decay", None)
        if callable(named):
            names = set(named())
            found += [p for name, p in module.named_parameters() if name in names]
    return found
