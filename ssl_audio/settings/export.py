"""Settings of `ssl-audio export`."""

from pathlib import Path

from ssl_audio.settings.fields import CommandSettings, setting


class ExportSettings(CommandSettings):
    checkpoint: Path = setting(help="encoder: a folder, or the name of one in the package")
    output: Path = setting(Path("encoder.onnx"), help="file, .onnx or .pt2, front end included")
