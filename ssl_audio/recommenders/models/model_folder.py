"""Trained playlist models on disk, in the package's one form of model folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ssl_audio.io.errors import CheckpointError, SslAudioError, first_line
from ssl_audio.io.model_folder import ModelFolder, read_model_folder, write_model_folder

Model = TypeVar("Model", bound=nn.Module)
DATA = "data."  # prefix of arrays that are not of the state


def save_model(
    folder: Path,
    kind: str,
    model: nn.Module,
    config: Mapping[str, Any],
    data: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write a model's folder in one step: its state, its configuration, and further arrays.

    Raises:
        SslAudioError: it cannot be written.
    """
    arrays = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    arrays |= {DATA + name: array for name, array in (data or {}).items()}
    write_model_folder(folder, kind, ModelFolder(dict(config), arrays))


def load_model(
    folder: Path, kind: str, make: Callable[[dict[str, Any], dict[str, np.ndarray]], Model]
) -> Model:
    """Read a model's folder, in evaluation mode; nothing in it is unpickled.

    Args:
        make: makes the model from its configuration and the further arrays; its state is loaded.

    Raises:
        CheckpointError: no folder, a damaged one, or another kind or format.
    """
    read = read_model_folder(folder, kind)
    state: dict[str, Tensor] = {}
    data: dict[str, np.ndarray] = {}
    for name, array in read.arrays.items():
        if name.startswith(DATA):
            data[name.removeprefix(DATA)] = array
        else:
            state[name] = torch.from_numpy(array)
    try:
        model = make(read.config, data)
        model.load_state_dict(state)
    except (ValueError, LookupError, TypeError, RuntimeError, SslAudioError) as error:
        raise CheckpointError(
            f"{folder}: no {kind} model that can be read ({first_line(error)})"
        ) from error
    return model.eval()
