"""Settings of the commands that keep a store up to date with files."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ssl_audio.settings.fields import CommandSettings, SettingError, setting

_NUMBER = re.compile(r"\d+|\d+(\.\d+)?%")
_SHARD = re.compile(r"([1-9]\d*)/([1-9]\d*)")


class CatalogueSettings(CommandSettings):
    """A catalogue that is kept from run to run."""

    deleted: Literal["keep", "drop"] = setting(
        "keep", help="rows of files that are gone or damaged: keep marks them in the column state"
    )
    retry_failed: bool = setting(
        False, help="try files again that could not be decoded and have not changed since"
    )
    max_failed: str = setting(
        "0", help="files, or share of the source (1%), that may fail in a run with exit status 0"
    )
    report: Path | None = setting(None, help="JSON file that the outcome is written to")
    shard: str = setting("1/1", help="part of the tracks: 3/16 is the third of 16, by their ids")
    workers: int | None = setting(None, help="parallel tracks; null: number of processors", min=1)
    group: int = setting(256, help="tracks written together: the most that a crash loses", min=1)

    @property
    def part(self) -> tuple[int, int]:
        """`shard` as number and count."""
        number, count = self.shard.split("/")
        return int(number), int(count)

    @classmethod
    def check_alone(cls, values: Mapping[str, Any]) -> None:
        super().check_alone(values)
        if not _NUMBER.fullmatch(str(most := values.get("max_failed", "0"))):
            raise SettingError("max_failed", most, "a number of files, or a share such as 1%")
        found = _SHARD.fullmatch(str(shard := values.get("shard", "1/1")))
        if not found or int(found[1]) > int(found[2]):
            raise SettingError("shard", shard, "NUMBER/COUNT, from 1/COUNT to COUNT/COUNT")
