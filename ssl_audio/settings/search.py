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
    checkpoint: Path | None = setting(None, help="encoder; null: the one recorded in the index")
    approximate: bool | None = setting(None, help="HNSW search; null: above 200,000 tracks")
