"""A trained model on disk: a folder of `model.safetensors` and `config.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ssl_audio.io.atomic import atomic_folder, write_json
from ssl_audio.io.errors import CheckpointError, SslAudioError

WEIGHTS, CONFIG = "model.safetensors", "config.json"
FORMAT = 2
Model = TypeVar("Model")


def save_model(
    folder: Path, kind: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write a model's folder, all or nothing.

    Raises:
        SslAudioError: it cannot be written.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with atomic_folder(folder) as temporary:
            save_file(kept, temporary / WEIGHTS)
            write_json(temporary / CONFIG, {"model": kind, "format": FORMAT, **config})
    except OSError as error:
        raise SslAudioError(f"{folder}: {error.strerror}") from error


def load_model(
    folder: Path, kind: str, make: Callable[[dict[str, Any], dict[str, Tensor]], Model]
) -> Model:
    """A saved model; nothing in the folder is unpickled.

    Args:
        folder: written by `save_model`.
        kind: of the model.
        make: makes the model of its configuration and tensors.

    Raises:
        CheckpointError: no folder, a damaged one, or another kind or format.
    """
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        found = config["model"], config["format"]
        if found != (kind, FORMAT):
            raise CheckpointError(f"{folder} holds {found}, not {(kind, FORMAT)}: train again")
        return make(config, load_file(folder / WEIGHTS))
    except CheckpointError:
        raise
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError,
            SslAudioError) as error:  # fmt: skip
        raise CheckpointError(
            f"{folder}: no {kind} model that can be read ({str(error).splitlines()[0]})"
        ) from error
