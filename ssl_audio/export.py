"""The encoder as one file: `python -m ssl_audio.export checkpoint=FOLDER output=encoder.onnx`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ssl_audio.recipe import Command, main_with, resolve

if TYPE_CHECKING:
    from omegaconf import DictConfig

COMMAND = Command(
    name="export",
    does="Write an encoder, front end included, as one ONNX or torch.export file.",
    usage="checkpoint=FOLDER [output=FILE]",
    often=("output=encoder.onnx", "output=encoder.pt2"),
    example="checkpoint=runs/demo/encoder output=encoder.onnx",
)


def run(config: DictConfig) -> None:
    """Write the file, compare it with the encoder, and say how far they differ."""
    settings = resolve(config)
    from ssl_audio.catalogue.export import check_output, deploy
    from ssl_audio.io.console import say
    from ssl_audio.models.encoder import load_encoder

    check_output(Path(settings["output"]))
    found = deploy(load_encoder(settings["checkpoint"]), settings["output"])
    say(
        f"{found.path}: {found.size / 1e6:.1f} MB; embeddings differ from PyTorch's by at most "
        f"{found.difference:.1e}, their largest value is {found.largest:.2g}"
    )


def main(arguments: list[str] | None = None) -> int:
    """The command's entry point; returns the exit status."""
    return main_with(COMMAND, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
