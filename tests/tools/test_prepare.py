"""tools/prepare.py as a user runs it."""

import numpy as np
import prepare as tool
import pytest
import soundfile


@pytest.fixture
def prepare(own_folder):
    return tool.main


@pytest.fixture
def music(tmp_path):
    (tmp_path / "music").mkdir()
    for k in range(8):
        noise = np.random.default_rng(k).normal(0, 0.1, int((9 + k / 2) * 16_000))
        soundfile.write(tmp_path / "music" / f"träck {k}.wav", noise, 16_000)
    return tmp_path / "music"


def test_shards_are_written_once(prepare, music, tmp_path, capsys):
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join([*map(str, sorted(music.iterdir())), "missing.wav"]))
    words = [str(listed), "./a=b [shards]", "workers=2", "shard_gib=0.00075"]
    assert prepare(words) == 3
    said = capsys.readouterr().out
    assert "8 tracks, 0.02 hours; wrote 4 shards" in said and "1 files skipped" in said
    assert f"data=shards data.root={tmp_path / 'a=b [shards]'}" in said
    assert prepare(words) == 3
    assert "complete already" in capsys.readouterr().out


def test_bad_input_is_one_line(prepare, music, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("a.wav")
    (tmp_path / "empty").mkdir()
    for words in (["no", "out"], ["music", "list.txt"], ["empty", "out"], ["music"],
                  ["music", "s3://bucket"], ["music", "out", "workers=1.5"],
                  ["music", "out", "wrokers=1"]):  # fmt: skip
        assert prepare(words) == 1
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.startswith("error: ")
        assert captured.err.splitlines()[-1] == captured.err.strip(), words
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "cache") == [
        "empty", "list.txt", "music",
    ]  # fmt: skip
