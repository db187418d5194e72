"""Settings of `ssl-audio demo`."""

from pathlib import Path
from typing import Literal

from ssl_audio.settings.fields import CommandSettings, SettingError, setting

SIZES = {  # of each preset
    "dense": {"tracks": 2000, "playlists": 6000, "min_length": 40, "max_length": 120},
    "sparse": {"tracks": 6000, "playlists": 2400, "min_length": 10, "max_length": 30},
}


class DemoSettings(CommandSettings):
    output: Path = setting(
        help="folder for playlists.duckdb, train.parquet, and the features of the tracks: "
        "embeddings.parquet, audio.parquet"
    )
    checkpoint: Path = setting(help="encoder: a folder, or the name of one in the package")
    recordings: Path | None = setting(
        None, help="folder of recordings with MTG-Jamendo tables (*.tsv) whose tags have genres; "
        "null: the demo corpus of the package",
    )  # fmt: skip
    preset: Literal["dense", "sparse"] = setting(
        "dense", help="dense: 240 plays a track; sparse: 8, more skewed, and themes that drift",
    )  # fmt: skip
    tracks: int | None = setting(
        None, help="excerpts of the recordings, a track each; null: 2000, or 6000 if sparse", min=1
    )
    playlists: int | None = setting(
        None, help="number of playlists; null: 6000, or 2400 if sparse", min=1
    )
    min_length: int | None = setting(
        None, help="min tracks in a playlist; null: 40, or 10 if sparse", min=2
    )
    max_length: int | None = setting(
        None, help="max tracks in a playlist; null: 120, or 30 if sparse", min=2
    )
    cold: float = setting(
        0.05, help="share of the tracks left out of train.parquet, as recommend leaves them out",
        min=0, below=1,
    )  # fmt: skip
    workers: int | None = setting(
        None, help="parallel recordings; null: number of processors", min=1
    )
    seed: int = setting(0, help="seed of excerpts, playlists and splits", min=0)

    def sizes(self) -> dict[str, int]:
        """tracks, playlists, min_length and max_length: as given, else the preset's."""
        return {
            name: size if getattr(self, name) is None else getattr(self, name)
            for name, size in SIZES[self.preset].items()
        }

    def check(self) -> None:
        sizes = self.sizes()
        tracks, shortest, longest = (sizes[k] for k in ("tracks", "min_length", "max_length"))
        if longest < shortest:
            raise SettingError("max_length", longest, f"min_length={shortest} or more")
        if longest > tracks:
            raise SettingError("max_length", longest, f"at most tracks={tracks}")
