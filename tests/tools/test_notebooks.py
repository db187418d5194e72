"""The notebooks of recipes/notebooks: they run, and are readable without running."""

import re

import pytest

pytest.importorskip("nbclient", reason="needs the packages nbclient and ipykernel")

import nbformat  # noqa: E402
from notebooks import FOLDER, executed  # noqa: E402

NAMES = ["first_encoder", "your_own_music", "compare_encoders", "playlists"]
PATHS = [FOLDER / f"{name}.ipynb" for name in NAMES]
MAX_BYTES = 60_000


@pytest.mark.slow
def test_all_run_one_after_another(demo_corpus, tmp_path, monkeypatch):
    """In one kernel, since each would import torch again."""
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "music").symlink_to(demo_corpus)  # what they would make, with its sizes
    for path, notebook in zip(PATHS, executed(PATHS, tmp_path), strict=True):
        kept = nbformat.read(path, as_version=4)
        shapes = [
            [[one.output_type for one in cell.get("outputs", [])] for cell in found.cells]
            for found in (kept, notebook)
        ]
        assert shapes[0] == shapes[1], path.name


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_outputs_are_kept_small_and_name_no_folder_of_a_machine(path):
    text = path.read_text()
    assert len(text) < MAX_BYTES and not any(part in text for part in ("/tmp/", "/home/", "/work/"))
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert sum(bool(cell.outputs) for cell in code) >= len(code) / 2
    assert sorted(FOLDER.glob("*.ipynb")) == sorted(PATHS)


def test_their_links_lead_somewhere():
    for path in PATHS:
        for cell in nbformat.read(path, as_version=4).cells:
            for link in re.findall(r"\]\(([^)#]+)\)", cell.source):
                assert (FOLDER / link).exists(), (path.name, link)
