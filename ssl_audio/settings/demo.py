"""Settings of `ssl-audio demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ssl_audio.settings.fields import CommandSettings, SettingError, setting


@dataclass(frozen=True, kw_only=True)
class DemoSettings(CommandSettings):
    output: Path = setting(
        help="folder for playlists.duckdb, train.parquet, and the features of the tracks: "
        "embeddings.parquet, audio.parquet, popularity.parquet"
    )
    checkpoint: Path = setting(help="encoder: a folder, or the name of one in the package")
    recordings: Path | None = setting(
        None, help="folder of recordings with MTG-Jamendo tables (*.tsv) whose tags have genres; "
        "null: the demo corpus of the package",
    )  # fmt: skip
    tracks: int = setting(2000, help="excerpts of the recordings, a track each", min=1)
    playlists: int = setting(6000, help="number of playlists", min=1)
    min_length: int = setting(40, help="min tracks in a playlist", min=2)
    max_length: int = setting(120, help="max tracks in a playlist", min=2)
    cold: float = setting(
        0.05, help="share of the tracks left out of train.parquet, as recommend leaves them out",
        min=0, below=1,
    )  # fmt: skip
    workers: int | None = setting(
        None, help="parallel recordings; null: number of processors", min=1
    )
    seed: int = setting(0, help="seed of excerpts, playlists and splits", min=0)

    def check(self) -> None:
        if self.max_length < self.min_length:
            expected = f"min_length={self.min_length} or more"
            raise SettingError("max_length", self.max_length, expected)
        if self.max_length > self.tracks:
            raise SettingError("max_length", self.max_length, f"at most tracks={self.tracks}")
