"""The tagging set of the free music that tools/free_music.py collects."""

from pathlib import Path

from ssl_audio.datasets.dataset import SPLITS, LabelledData, Listed, require_folder
from ssl_audio.datasets.jamendo import read_tables
from ssl_audio.settings.fields import setting


class FreeMusic(LabelledData):
    """The tag of a track is its package; no track of the set is pretrained on."""

    name = "free_music"

    root: Path = setting(help="folder that tools/free_music.py has written")

    def read(self) -> Listed:
        folder = require_folder(self.root)
        tables = {name: folder / "tagging" / f"tagging-{name}.tsv" for name in SPLITS}
        return read_tables(tables, folder)
