"""Folders of runs: refused, created, and removed after a failed start."""

import os
from pathlib import Path

import pytest

from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.lock import Busy
from ssl_audio.io.run_folder import (
    CONFIG,
    choose_run_folder,
    open_run_folder,
    run_folder_of_leader,
)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def everything() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


def fail(folder: Path, write: str = "", **options) -> None:
    with pytest.raises(KeyboardInterrupt), open_run_folder(folder, "seed: 1\n", **options):
        if write:
            (folder / write).parent.mkdir(exist_ok=True)
            (folder / write).write_text("")
        raise KeyboardInterrupt


def test_a_chosen_folder_is_not_created():
    assert choose_run_folder(None, "byol").match("runs/byol-2*")
    assert choose_run_folder(Path("a/b"), "byol") == Path("a/b")
    assert everything() == []


def test_a_folder_with_a_run_or_without_permission_is_refused(tmp_path):
    with open_run_folder(Path("run"), "seed: 1\n"):
        pass
    assert Path("run/config.yaml").read_text() == "seed: 1\n"
    assert '"torch"' in Path("run/versions.json").read_text()
    with pytest.raises(SslAudioError, match="resume it with ckpt_path=last"):
        choose_run_folder(Path("run"), "byol", marker=CONFIG)
    assert choose_run_folder(Path("run"), "byol") == Path("run")  # no results yet
    for below in ("run/config.yaml/deep/er", "run/config.yaml"):
        with pytest.raises(SslAudioError, match="not a folder that can be written"):
            choose_run_folder(Path(below), "byol")
    if os.geteuid():
        os.chmod("run", 0o500)
        with pytest.raises(SslAudioError, match="not a folder that can be written"):
            choose_run_folder(Path("run/a"), "byol")


@pytest.mark.parametrize("write", ["", "skipped.csv", "logs/metrics.csv", "playlists.duckdb"])
def test_a_failed_start_leaves_nothing(write):
    fail(Path("runs/a"), write, inputs=["playlists.duckdb"])
    assert everything() == []
    Path("runs/b").mkdir(parents=True)
    Path("runs/b/notes.txt").write_text("")
    fail(Path("runs/b"), write, inputs=["playlists.duckdb"])
    assert everything() == ["runs", "runs/b", "runs/b/notes.txt"]


@pytest.mark.parametrize("write", ["results.json", "checkpoints/last.ckpt", "encoder/config.json"])
def test_a_run_with_results_or_checkpoints_is_kept(write):
    fail(Path("run"), write)
    assert Path("run", write).is_file() and Path("run/config.yaml").is_file()


def test_a_resumed_run_keeps_its_first_configuration():
    with open_run_folder(Path("run"), "seed: 1\n"):
        pass
    with open_run_folder(Path("run"), "seed: 2\n", resumed=True):
        pass
    assert Path("run/config.yaml").read_text() == "seed: 1\n"
    assert Path("run/config-resumed.yaml").read_text() == "seed: 2\n"


def test_other_processes_find_the_folder_while_the_run_lasts():
    with open_run_folder(Path("run"), ""):
        assert run_folder_of_leader(None) == Path("run")
    with pytest.raises(SslAudioError, match="run_dir="):
        run_folder_of_leader(None)
    assert run_folder_of_leader(Path("mine")) == Path("mine")


def test_a_second_process_is_refused_and_changes_nothing():
    with open_run_folder(Path("run"), "seed: 1\n"):
        files = everything()
        with (
            pytest.raises(Busy, match="another process is writing run_dir=run: wait for it"),
            open_run_folder(Path("run"), "seed: 2\n", resumed=True),
        ):
            raise AssertionError
        assert everything() == files
    with open_run_folder(Path("run"), "seed: 1\n", resumed=True):
        pass
