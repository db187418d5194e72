"""A model on disk: a folder of `config.json`, weights (safetensors) and a card, checked when read.

Nothing in it is unpickled or executed. It is written atomically.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.atomic import atomic_folder
from ssl_audio.io.errors import CheckpointError, first_line, named
from ssl_audio.io.files import file_sha256
from ssl_audio.io.json_file import read_json

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


@dataclass(frozen=True)
class ModelFolder:
    """Contents of a model folder."""

    config: dict[str, Any]  # JSON values that define the architecture
    arrays: dict[str, np.ndarray] = field(default_factory=dict)  # weights by name
    card: str = ""  # text of its README.md; empty without one
    extra: dict[str, dict[str, Any]] = field(default_factory=dict)  # JSON files that others read


def write_model_folder(
    folder: str | Path, kind: str, model: ModelFolder, weights: str = WEIGHTS
) -> Path:
    """Write a model's folder in one step, in place of an older one.

    Args:
        folder: its parents are created if absent.
        kind: of the model, such as "encoder"; another kind's reader refuses it.
        weights: name of the file of its arrays.

    Raises:
        SslAudioError: the folder cannot be written.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    with named(str(folder)), atomic_folder(folder) as temporary:
        arrays = {name: np.asarray(a, order="C") for name, a in model.arrays.items()}
        save_file(arrays, temporary / weights)
        checked = {"sha256": file_sha256(temporary / weights)}
        config = {"format": FORMAT, "kind": kind, **model.config, **checked}
        for name, values in {**model.extra, CONFIG: config}.items():
            text = json.dumps(values, indent=2) + "\n"
            (temporary / name).write_text(text, encoding="utf-8")
        if model.card:
            (temporary / CARD).write_text(model.card, encoding="utf-8")
    return folder


def read_model_folder(folder: str | Path, kind: str, weights: str = WEIGHTS) -> ModelFolder:
    """Read a model's folder; the arguments are those of `write_model_folder`.

    Raises:
        CheckpointError: no folder, a damaged one, one of another kind or format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    config = _read_config(folder, kind)
    path = folder / weights
    if not path.is_file():
        raise CheckpointError(f"{folder}: no {weights}")
    try:
        if file_sha256(path) != config["sha256"]:
            raise CheckpointError(f"{path} is damaged: its checksum is not that of {CONFIG}")
        arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {first_line(error)}") from error
    card = folder / CARD
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    return ModelFolder(config, arrays, text)


def _read_config(folder: Path, kind: str) -> dict[str, Any]:
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such model folder")
    try:
        config = read_json(folder / CONFIG)
        format, found = config["format"], config.get("kind", kind)
        config["sha256"]
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: no {CONFIG}; is it a model folder?") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / CONFIG} is damaged: {first_line(error)}") from error
    if format != FORMAT:
        raise CheckpointError(f"{folder}: format {format}, and this version reads format {FORMAT}")
    if found != kind:
        raise CheckpointError(f"{folder} holds a model of kind {found}, not of kind {kind}")
    return dict(config)
