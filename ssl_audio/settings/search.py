"""Settings of `ssl-audio search`."""

from pathlib import Path

from ssl_audio.io.remote import Url
from ssl_audio.settings.fields import CommandSettings, SettingError, setting


class SearchSettings(CommandSettings):
    index: Path | Url = setting(help="feature store that embed has written")
    query: str = setting(
        "", help="id of a track of the index, an audio file, or a vector: .npy or numbers (0.1,0.2)"
    )
    queries: Path | None = setting(
        None, help="text file with a query a line, ids or files beside it; adds a column query"
    )
    k: int = setting(10, help="number of neighbours", min=1)
    prefix: str = setting("", help="search only ids that begin with this; exact")
    deleted: bool = setting(False, help="search also tracks whose file is gone; exact")
    checkpoint: Path | None = setting(None, help="encoder; null: the one recorded in the index")
    approximate: bool | None = setting(
        None, help="HNSW search, by a graph that is kept with the index; null: above 200,000 tracks"
    )

    def check(self) -> None:
        if bool(self.query) == (self.queries is not None):
            raise SettingError("query", self.query, "give this or queries=, a file of several")
