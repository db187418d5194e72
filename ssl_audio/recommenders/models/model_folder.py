"""Trained playlist models on disk, in the package's one form of model folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ssl_audio.io.errors import CheckpointError, SslAudioError, first_line
from ssl_audio.io.model_folder import ModelFolder, read_model_folder, write_model_folder

Model = TypeVar("Model")


def save_model(
    folder: Path, kind: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a model's folder in one step.

    Raises:
        SslAudioError: it cannot be written.
    """
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    write_model_folder(folder, kind, ModelFolder(dict(config), arrays))


def load_model(
    folder: Path, kind: str, make: Callable[[dict[str, Any], dict[str, Tensor]], Model]
) -> Model:
    """Read a model's folder; nothing in it is unpickled.

    Args:
        folder: written by `save_model`.
        kind: of the model.
        make: makes the model from its configuration and tensors.

    Raises:
        CheckpointError: no folder, a damaged one, or another kind or format.
    """
    read = read_model_folder(folder, kind)
    tensors = {name: torch.from_numpy(array) for name, array in read.arrays.items()}
    try:
        return make(read.config, tensors)
    except (ValueError, LookupError, TypeError, RuntimeError, SslAudioError) as error:
        raise CheckpointError(
            f"{folder}: no {kind} model that can be read ({first_line(error)})"
        ) from error
