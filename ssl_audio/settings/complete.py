"""Settings of `ssl-audio complete`."""

from pathlib import Path
from typing import Literal

from ssl_audio.settings.fields import CommandSettings, SettingError, group, setting
from ssl_audio.settings.recommend import GraphSettings, StoreSettings


class CompleteSettings(CommandSettings):
    playlist: Path | None = setting(
        None, help="playlist to continue, .m3u; null: vectors of the tracks of stores= instead"
    )
    run: Path | None = setting(
        None, help="folder of a run of recommend; null: the newest one below runs/"
    )
    model: str | None = setting(
        None, help="model of the run; null: for playlist= the transformer if it has one, else its "
        "first; for vectors the first that can compute them from features",
    )  # fmt: skip
    output: Path | None = setting(
        None, help="file of the continued playlist (null: NAME-more.m3u beside it) or of the "
        "vectors (null: vectors.parquet)",
    )  # fmt: skip
    length: int = setting(30, help="tracks to add to playlist=", min=1)
    k: int = setting(
        20, help="models of sequences draw each next track from the k most probable", min=1
    )
    seed: int = setting(0, help="seed of the draws", min=0)
    approximate: bool | None = setting(
        None, help="models of sequences: HNSW search; null: above 200,000 tracks"
    )
    music: Path | None = setting(
        None, help="folder that the tracks' ids are relative to; null: as in the run"
    )
    stores: StoreSettings = group(
        StoreSettings, "features of new tracks; for playlist=, files that were moved since the run"
    )
    playlists: Path | None = setting(
        None, help="playlists of new tracks, for edges between them; null: features alone"
    )
    unknown: Literal["keep", "drop", "refuse"] = setting(
        "drop",
        help="tracks of playlists= that no feature store has: drop lists them and exits with "
        "status 3, keep uses them without features",
    )
    missing: Literal["impute", "refuse"] = setting(
        "impute", help="new tracks without features: the mean, with a count, or an error"
    )
    graph: GraphSettings = group(GraphSettings, "graph of co-occurring new tracks")

    def check(self) -> None:
        given = (*vars(self.stores).values(), self.playlists)
        if self.playlist is None and not any(given):
            expected = "give a playlist to continue, or stores= of tracks that need vectors"
            raise SettingError("playlist", None, expected)
