"""The encoder as one file: `ssl-audio export checkpoint=FOLDER output=encoder.onnx`."""

import sys
from functools import partial

from ssl_audio.io.console import say
from ssl_audio.settings.command import Command
from ssl_audio.settings.export import ExportSettings

COMMAND = Command(
    name="export",
    summary="Write an encoder, front end included, as one ONNX or torch.export file.",
    usage="checkpoint=FOLDER [output=FILE]",
    examples=("checkpoint=runs/demo/encoder output=encoder.onnx",),
    settings=ExportSettings,
)


def run(settings: ExportSettings) -> None:
    """Write the file, compare it with the encoder, and print by how much they differ."""
    from ssl_audio.catalogue.export import check_output, export
    from ssl_audio.models.encoder import load_encoder

    check_output(settings.output)
    found = export(load_encoder(settings.checkpoint), settings.output)
    say(
        f"{found.path}: {found.size / 1e6:.1f} MB; its embeddings differ from PyTorch's by at most "
        f"{found.difference:.1e}, and the largest value of those is {found.largest:.2g}"
    )


main = partial(COMMAND.main, run)

if __name__ == "__main__":
    sys.exit(main())
