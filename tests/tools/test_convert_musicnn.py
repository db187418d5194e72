"""The tool without TensorFlow, and what it wrote for the shipped folder."""

import json
from pathlib import Path

import convert_musicnn as tool

ROOT = Path(__file__).resolve().parents[2]


def test_without_the_package_one_line_names_the_remedy(tmp_path, capsys):
    assert tool.main([str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "make the environment" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_shipped_card_states_origin_and_licence():
    folder = ROOT / "checkpoints" / "musicnn"
    card = (folder / "README.md").read_text()
    for said in (
        "Pons and Xavier Serra",
        "license: isc",
        "Million Song",
        "THE SOFTWARE IS PROVIDED",
    ):
        assert said in card
    assert json.loads((folder / "config.json").read_text())["kind"] == tool.KIND
