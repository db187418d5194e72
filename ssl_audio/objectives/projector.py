"""The projector: from the embedding to the space of the loss; and its folder."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.io.model_folder import (
    CONFIG,
    WEIGHTS,
    ModelFolder,
    read_model_folder,
    write_model_folder,
)

KIND = "projector"

PROJECTOR_SIZES = (1024, 1024, 2048)
"""Widths after the embedding, shared by the five objectives."""


class Projector(nn.Sequential):
    """Linear layers, with batch norm and ReLU after all but the last.

    Attributes:
        sizes: widths, input first.
    """

    def __init__(self, *layers: nn.Module, sizes: Sequence[int]) -> None:
        super().__init__(*layers)
        self.sizes = tuple(sizes)

    @torch.no_grad()
    def take(self, matrix: Tensor, mean: Tensor) -> None:
        """Change the first layer, so that x gives what matrix x + mean did, in evaluation mode."""
        first, norm = next(iter(self)), self[1] if len(self) > 1 else None
        assert isinstance(first, nn.Linear)
        weight = first.weight.double()
        first.weight.copy_(weight @ matrix)
        if norm is None:
            first.bias.add_(weight @ mean)
        else:
            assert isinstance(norm.running_mean, Tensor)
            norm.running_mean -= weight @ mean


def projector(sizes: Sequence[int] = (1024, *PROJECTOR_SIZES)) -> Projector:
    """Linear layers of two or more widths, input first; batch norm and ReLU after all but the last.

    The head of Meseguer-Brocal et al. 2024, section 2.2. Linear layers before a batch norm have no
    bias, since the norm subtracts it.

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
    return Projector(*layers, nn.Linear(widths[-2], widths[-1]), sizes=widths)


def save_projector(module: Projector, folder: str | Path) -> Path:
    """Write a projector's folder in one step; `load_projector` reads it."""
    arrays = {k: v.detach().cpu().contiguous().numpy() for k, v in module.state_dict().items()}
    return write_model_folder(folder, KIND, ModelFolder({"sizes": module.sizes}, arrays))


def load_projector(folder: str | Path) -> Projector:
    """Read a projector that a training run has written beside its encoder.

    Nothing in it is unpickled.

    Returns:
        (B, embedding_size) to (B, D), in evaluation mode.

    Raises:
        CheckpointError: no folder, a damaged one, or one that holds another model.

    Example:
        >>> import tempfile
        >>> made = projector((4, 3, 2)).eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     loaded = load_projector(save_projector(made, folder + "/projector"))
        >>> bool(torch.equal(loaded(torch.ones(1, 4)), made(torch.ones(1, 4))))
        True
    """
    read = read_model_folder(folder, KIND)
    state = {name: torch.from_numpy(array) for name, array in read.arrays.items()}
    try:
        made = projector(read.config["sizes"])
        made.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, SslAudioError) as error:
        raise CheckpointError(f"{Path(folder) / WEIGHTS} does not fit its {CONFIG}") from error
    return made.eval()
