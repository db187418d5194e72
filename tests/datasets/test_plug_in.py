"""A data set of one's own: a file, and a line that registers it."""

import textwrap

import numpy as np

from ssl_audio import probe
from ssl_audio.settings.probe import DATASETS, ProbeSettings
from ssl_audio.settings.tree import build, keys_of

FILE = """
from pathlib import Path

from ssl_audio.datasets.dataset import SPLITS, LabelledData, Listed, Split, multi_hot
from ssl_audio.settings.fields import setting


class Notes(LabelledData):
    name = "notes"
    licence = "CC0"

    root: Path = setting(help="folder of the notes")

    def read(self) -> Listed:
        splits = {}
        for split in SPLITS:
            paths = tuple(sorted((self.root / split).glob("*.wav")))
            ids = tuple(f"{split}/{path.name}" for path in paths)
            splits[split] = Split(ids, paths, multi_hot([[path.stem[0]] for path in paths], "AB"))
        return Listed(("A", "B"), splits)
"""


def test_a_data_set_is_one_file_and_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "notes.py").write_text(textwrap.dedent(FILE))
    monkeypatch.syspath_prepend(tmp_path)
    for split in ("train", "validation", "test"):
        (tmp_path / "music" / split).mkdir(parents=True)
        for name in ("A1", "B1", "B2"):
            (tmp_path / "music" / split / f"{name}.wav").write_text(split + name)
    monkeypatch.setitem(DATASETS.paths, "notes", "notes.Notes")  # the line
    assert "dataset=notes" in {k.only for k in keys_of(ProbeSettings) if k.name == "data.root"}
    settings = build(ProbeSettings, {"data": {"name": "notes", "root": str(tmp_path / "music")}})
    found = settings.data.load()
    assert (found.name, found.tags, found.licence) == ("notes", ("A", "B"), "CC0")
    np.testing.assert_array_equal(found.test.targets, [[1, 0], [0, 1], [0, 1]])
    words = ["dataset=notes", f"data.root={tmp_path / 'music'}"]
    assert probe.main([*words, "--config"]) == 0 and "name: notes" in capsys.readouterr().out
    assert probe.main([*words, "data.sead=1"]) == 1
