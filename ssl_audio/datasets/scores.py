"""Scores played by a sampled orchestra, in MTG-Jamendo's format."""

from dataclasses import replace
from pathlib import Path

from ssl_audio.datasets.dataset import SPLITS, LabelledData, Listed, require_folder
from ssl_audio.datasets.jamendo import read_tables
from ssl_audio.settings.fields import setting


class Scores(LabelledData):
    name = "scores"

    root: Path = setting(help="folder of scores-{train,validation,test}.tsv and audio/")

    def read(self) -> Listed:
        folder = require_folder(self.root)
        tables = {name: folder / f"scores-{name}.tsv" for name in SPLITS}
        listed = read_tables(tables, folder / "audio")
        return replace(listed, notes=("synthesised from scores: it says little of recordings",))
