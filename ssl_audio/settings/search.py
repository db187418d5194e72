"""Settings of `ssl-audio search`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ssl_audio.settings.fields import CommandSettings, setting


@dataclass(frozen=True, kw_only=True)
class SearchSettings(CommandSettings):
    index: Path = setting(help="feature store that embed has written")
    query: str = setting(help="id of a track of the index, or an audio file")
    k: int = setting(10, help="number of neighbours", min=1)
    checkpoint: Path | None = setting(
        None, help="the encoder of the index; null: where it was when the index was written"
    )
    approximate: bool | None = setting(
        None, help="search by an HNSW graph; null: for more than 200,000 tracks"
    )
