"""The same audio in two splits."""

import os

import pytest
from made_datasets import write_table

from ssl_audio.datasets import leaks
from ssl_audio.datasets.table import TagTable
from ssl_audio.io import identical_files
from ssl_audio.io.errors import SslAudioError

ROWS = [
    (f"{split}/{n}.wav", "x" if n % 2 else "y", split)
    for split, count in (("train", 12), ("validation", 4), ("test", 21))
    for n in range(count)
]


def replaced(path, original, how):
    path.unlink()
    how(original, path)


@pytest.mark.parametrize("how", [os.symlink, os.link])
def test_a_link_to_a_training_file_in_the_test_split_is_refused(tmp_path, how):
    table = write_table(tmp_path / "own.csv", ROWS)
    for n in range(2):
        replaced(tmp_path / f"test/{n}.wav", tmp_path / f"train/{n}.wav", how)
    with pytest.raises(SslAudioError, match="2 files are listed more than once") as caught:
        TagTable(table=table).load()
    assert "train/0.wav (train) = test/0.wav (test)" in str(caught.value)


def test_another_letter_case_is_the_same_file_where_the_file_system_says_so(tmp_path, monkeypatch):
    rows = [("a.wav", "x", "train"), ("A.WAV", "x", "test"), ("b.wav", "y", "train"),
            ("c.wav", "y", "test"), ("d.wav", "y", "validation")]  # fmt: skip
    table = write_table(tmp_path / "own.csv", rows)
    TagTable(table=table).load()  # two files
    identity = leaks.file_identity
    folded = lambda path: identity(path.with_name(path.name.lower()))  # noqa: E731
    monkeypatch.setattr(leaks, "file_identity", folded)
    with pytest.raises(SslAudioError, match=r"a.wav \(train\) = A.WAV \(test\)"):
        TagTable(table=table).load()


def test_copies_across_splits_are_counted_and_named(tmp_path):
    table = write_table(tmp_path / "own.csv", ROWS)
    (tmp_path / "train/11.wav").write_bytes((tmp_path / "train/10.wav").read_bytes())  # no leak
    for n in range(17):
        copied = (tmp_path / f"train/{n % 12}.wav").read_bytes()
        (tmp_path / f"test/{n}.wav").write_bytes(copied)
    [note] = TagTable(table=table).load().notes
    assert note.startswith("17 of 21 test tracks are byte-identical to train tracks: ")
    assert "test/0.wav = train/0.wav" in note


def test_only_files_that_agree_so_far_are_read(tmp_path, monkeypatch):
    table = write_table(tmp_path / "own.csv", ROWS)
    for split, ending in (("train", b"a"), ("test", b"b")):  # of one size, equal in the middle
        (tmp_path / f"{split}/0.wav").write_bytes(bytes(20_000) + ending)
    hashed = []
    monkeypatch.setattr(
        identical_files, "file_sha256", lambda path: hashed.append(path.name) or path
    )
    assert not TagTable(table=table).load().notes
    assert hashed == ["0.wav", "0.wav"]
