"""Settings of `ssl-audio merge`."""

from pathlib import Path

from ssl_audio.io.remote import Url
from ssl_audio.settings.fields import CommandSettings, SettingError, setting


class MergeSettings(CommandSettings):
    stores: tuple[Path | Url, ...] = setting(
        help="feature stores, made alike: all whose tracks the output has, in any order"
    )
    output: Path | Url = setting(help="feature store, NAME.parquet; it is brought up to date")
    report: Path | None = setting(None, help="JSON file that the outcome is written to")

    def check(self) -> None:
        if not self.stores:
            raise SettingError("stores", "[]", "name one store or more")
