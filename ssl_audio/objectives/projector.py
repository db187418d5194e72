"""The projector: from the embedding to the space of the loss."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ssl_audio.io.errors import SslAudioError

PROJECTOR_SIZES = (1024, 1024, 2048)
"""Widths after the embedding, shared by the five objectives."""


def projector(sizes: Sequence[int] = (1024, *PROJECTOR_SIZES)) -> nn.Sequential:
    """Linear layers, with batch norm and ReLU after all but the last.

    The head of Meseguer-Brocal et al. 2024, section 2.2. Linear layers before a batch norm have no
    bias, since the norm subtracts it.

    Args:
        sizes: two or more widths, input first.

    Returns:
        (B, sizes[0]) to (B, sizes[-1]); B >= 2 in training.

    Raises:
        SslAudioError: fewer than two widths, or one below 1.
    """
    widths = [int(size) for size in sizes]
    if len(widths) < 2 or min(widths) < 1:
        raise SslAudioError(f"projector sizes={widths}: give two or more widths of 1 or more")
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths[:-2], widths[1:-1], strict=True):
        layers += [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))
