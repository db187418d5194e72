"""The projector: from the embedding to the space in which an objective compares."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


def projector(sizes: Sequence[int] = (1024, 1024, 1024, 2048)) -> nn.Sequential:
    """Linear layers, with batch norm and ReLU after all but the last.

    The paper's head: two blocks of 1024 and a last layer of 2048 (section 2.2).

    Args:
        sizes: widths, input first.

    Returns:
        (B, sizes[0]) to (B, sizes[-1]).
    """
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes[:-2], sizes[1:-1], strict=True):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1], bias=False))
