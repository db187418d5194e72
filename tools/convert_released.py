"""Convert the published multi-view SSL weights into an encoder folder of this project.

    python tools/convert_released.py contrastive.pt converted/contrastive

Both published styles are read: `module.backbone.*`, and `student.module.backbone.*` of the
teacher-student methods, of which the student is taken.
"""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ssl_audio.io.errors import CheckpointError, first_line
from ssl_audio.models.encoder import Encoder, build_encoder
from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import Group, setting

PREFIXES = ("student.module.backbone.", "module.backbone.")
NETWORK, FRONTEND = "embedding.", "spec."
CARD = """# Converted from the published multi-view SSL weights

Source file: `{name}`. The network and its front end (`released`) are those of Meseguer-Brocal,
Desblancs and Hennequin, "An experimental comparison of multi-view self-supervised methods for
music tagging", ICASSP 2024. Nothing was trained here; see the publication for data and results,
and for the licence of the weights.
"""


class ConvertSettings(Group):
    source: Path = setting(help="published checkpoint, .pt")
    output: Path = setting(help="folder of the converted encoder")


COMMAND = Command(
    name="convert_released", script="python tools/convert_released.py",
    summary="Convert the published multi-view SSL weights into an encoder folder.",
    usage="SOURCE OUTPUT", examples=("contrastive.pt converted/contrastive",),
    settings=ConvertSettings, positional=("source", "output"),
)  # fmt: skip


def convert(checkpoint: Path) -> Encoder:
    """The encoder in a published checkpoint.

    Raises:
        CheckpointError: not such a file.
    """
    published = _network_weights(checkpoint)
    encoder = build_encoder(frontend="released").eval()
    from timm.models.byobnet import _convert_openai_clip

    visual = {f"visual.{name}": tensor for name, tensor in published.items()}
    state = _convert_openai_clip(visual, encoder.backbone)
    try:
        encoder.backbone.load_state_dict(state)
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip()
        raise CheckpointError(f"{checkpoint}: not the published network: {detail}") from error
    return encoder


def _network_weights(checkpoint: Path) -> dict[str, Tensor]:
    saved = _load(checkpoint)
    for prefix in PREFIXES:
        found = {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
        if found:
            return {
                k.removeprefix(NETWORK): v for k, v in found.items() if not k.startswith(FRONTEND)
            }
    raise CheckpointError(
        f"{checkpoint}: no weights named {' or '.join(f'{p}*' for p in PREFIXES)}; "
        f"found {', '.join(list(saved)[:3])}"
    )


def _load(checkpoint: Path) -> Mapping[str, Tensor]:
    if not checkpoint.is_file():
        raise CheckpointError(f"{checkpoint}: no such file")
    try:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # torch reports damage by many types of exception
        raise CheckpointError(
            f"{checkpoint}: damaged, or not a checkpoint: {first_line(error)}"
        ) from error
    if not isinstance(saved, dict) or not isinstance(saved.get("model"), Mapping):
        raise CheckpointError(f"{checkpoint}: no entry 'model', as the published files have")
    return saved["model"]


def run(settings: ConvertSettings) -> None:
    """Convert one file."""
    encoder = convert(settings.source)
    folder = encoder.save(settings.output, card=CARD.format(name=settings.source.name))
    print(f"wrote {folder}")
    print(f"use it: ssl_audio.load_encoder('{folder}').embed_file('song.mp3').track")


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
