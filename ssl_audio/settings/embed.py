"""Settings of `ssl-audio embed`."""

from pathlib import Path
from typing import Literal

from ssl_audio.io.remote import Url
from ssl_audio.settings.catalogue import CatalogueSettings
from ssl_audio.settings.fields import SettingError, setting


class EmbedSettings(CatalogueSettings):
    source: Path | Url = setting(
        help="folder, list (.txt, or .csv or .parquet with a column path), file, URL of a folder "
        "or a file (s3://, gs://), or - for a list on standard input"
    )
    checkpoint: Path = setting(help="encoder: a folder, or the name of one in the package")
    output: Path | Url = setting(help="feature store, NAME.parquet; it is brought up to date")
    segments: bool = setting(False, help="keep the embedding and the start of each segment too")
    hop: float | None = setting(
        None, help="seconds between segment starts; null: no overlap", above=0
    )
    precision: Literal["float32", "bfloat16", "int8"] = setting(
        "float32", help="of the network; bfloat16 is faster, and equal to 2 or 3 digits; int8 is "
        "faster still: with runtime=openvino, calibrated with the source's first tracks"
    )  # fmt: skip
    runtime: Literal["auto", "torch", "openvino"] = setting(
        "auto", help="of the network; auto: openvino for many tracks without a GPU, if installed"
    )
    dtype: Literal["float32", "float16"] = setting("float32", help="of the embeddings in the file")
    batch_size: int = setting(32, help="segments in a batch", min=1)
    engine: Literal["local", "ray"] = setting("local", help="this machine, or a Ray cluster")

    def check(self) -> None:
        if self.precision == "int8" and (self.runtime, self.engine) != ("openvino", "local"):
            raise SettingError(
                "precision", "int8", "with runtime=openvino and engine=local; bfloat16 without"
            )
