"""What a kill leaves of an atomic write, and how it is cleaned up."""

import os

import pytest

from ssl_audio.io import atomic
from ssl_audio.io.atomic import atomic_folder, recover

DEAD = 2**22 + 1  # above the largest number of a process


def write(folder, text):
    with atomic_folder(folder) as temporary:
        (temporary / "a").write_text(text)


@pytest.mark.parametrize("renames", range(2))
def test_a_folder_survives_a_kill_while_it_is_replaced(tmp_path, monkeypatch, renames):
    folder = tmp_path / "model"
    write(folder, "old")
    count = iter(range(10))

    def rename(source, target, real=os.rename):
        if next(count) == renames:
            raise SystemExit
        real(source, target)

    with monkeypatch.context() as patch:  # as a kill does, nothing is cleaned
        patch.setattr(os, "rename", rename)
        patch.setattr(atomic.shutil, "rmtree", lambda *_, **__: None)
        patch.setattr(os, "getpid", lambda: DEAD)
        with pytest.raises(SystemExit):
            write(folder, "new")
    assert len(list(tmp_path.iterdir())) > 1
    recover(tmp_path, "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (folder / "a").read_text() == "old"
    write(folder, "new")
    assert (folder / "a").read_text() == "new"


def test_other_processes_and_other_files_are_left_alone(tmp_path):
    alive = tmp_path / f".model.{os.getppid()}.new-x"
    for path in (alive, tmp_path / ".model.text.new", tmp_path / f".other.{DEAD}.new-x"):
        path.mkdir()
    before = sorted(tmp_path.iterdir())
    left = tmp_path / f".model.{DEAD}.7.tmp"
    left.write_text("")
    recover(tmp_path, "model")
    assert sorted(tmp_path.iterdir()) == before
    recover(tmp_path / "nothing", "model")
    recover(tmp_path)
    assert sorted(tmp_path.iterdir()) == before[:-1]
