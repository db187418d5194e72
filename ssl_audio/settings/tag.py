"""Settings of `ssl-audio tag`."""

from pathlib import Path

from ssl_audio.io.remote import Url
from ssl_audio.settings.fields import CommandSettings, SettingError, setting


class TagSettings(CommandSettings):
    source: Path | Url | None = setting(
        None, help="audio: folder, list, file, or - for a list on standard input, as in embed"
    )
    features: Path | Url | None = setting(None, help="store of embed, in place of source=")
    output: Path | Url = setting(help="table of tags, NAME.parquet; an older one is replaced")
    checkpoint: Path = setting(
        Path("best"), help="encoder of source=: a folder, or the name of one in the package"
    )
    probe: Path | None = setting(
        None, help="folder that probe has saved; null: the one in the package for checkpoint="
    )
    workers: int | None = setting(None, help="parallel tracks; null: number of processors", min=1)

    def check(self) -> None:
        if (self.source is None) == (self.features is None):
            raise SettingError("source", self.source, "give either source= or features=")
        if Path(self.output.name).suffix != ".parquet":
            raise SettingError("output", self.output, "NAME.parquet")
