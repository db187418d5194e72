import numpy as np
import pytest
from made_datasets import touch

from ssl_audio.datasets.dataset import SPLITS
from ssl_audio.datasets.jamendo import JamendoInstrument, JamendoMood, JamendoTop50
from ssl_audio.datasets.scores import Scores
from ssl_audio.io.errors import SslAudioError


@pytest.mark.parametrize(
    ("kind", "sizes", "tags"),
    [
        (JamendoTop50, (32136, 10888, 11356), 50),
        (JamendoInstrument, (14395, 5466, 5115), 40),
        (JamendoMood, (9949, 3802, 4231), 56),
    ],
)
def test_the_published_sizes(shared, tmp_path, kind, sizes, tags):
    found = kind(root=tmp_path, splits=shared / "splits" / "jamendo").read()
    assert tuple(len(found.splits[name].ids) for name in SPLITS) == sizes
    assert tuple(found.published_sizes.values()) == sizes and len(set(found.tags)) == tags
    every = [i for split in found.splits.values() for i in split.ids]
    assert len(set(every)) == len(every)


def made_folder(tmp_path, name="{}.mp3", audio="."):
    """Nine tracks in three splits, tags a and b."""
    for index, split in enumerate(SPLITS):
        lines = ["TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"]
        for track in range(3):
            tags = ["genre---a"] if track else ["genre---b", "genre---a"]
            path = f"0{index}/{index}{track}.mp3"
            lines.append("\t".join([f"track_{index}{track}", "x", "y", path, "30.0", *tags]))
            touch(tmp_path / audio, [f"0{index}/" + name.format(f"{index}{track}")])
        table = tmp_path / f"autotagging_top50tags-{split}.tsv"
        table.write_text("\r\n".join(lines) + "\r\n")
    return tmp_path


def test_each_of_the_five_splits_has_its_own_tables(tmp_path):
    root = made_folder(tmp_path / "flat")
    with pytest.raises(SslAudioError, match="no folder split-3"):
        JamendoTop50(root=root, split=3).load()
    with pytest.raises(SslAudioError, match="split=9: a whole number, 0 or more, at most 4"):
        JamendoTop50(root=root, split=9)
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "split-3").symlink_to(root)
    found = JamendoTop50(root=root, splits=tmp_path / "splits", split=3).load()
    assert found.hash == JamendoTop50(root=root).load().hash


@pytest.mark.parametrize(
    ("name", "audio"),
    [("{}.mp3", "."), ("{}.low.mp3", "audio-low"), ("{}.mp3", "raw_30s/audio")],
)
def test_layouts(tmp_path, name, audio):
    root = made_folder(tmp_path, name, audio)
    found = JamendoTop50(root=root).load()
    assert found.train.ids == ("00/00.mp3", "00/01.mp3", "00/02.mp3")
    assert found.train.paths[0] == (root / audio / "00" / name.format("00")).resolve()
    # tag a is on every track and cannot be measured
    assert found.tags == ("b",) and "a" in found.notes[-1]
    np.testing.assert_array_equal(found.test.targets, [[1], [0], [0]])
    assert any("published" in note for note in found.notes)
    assert found.licence == "CC BY-NC-SA 4.0" and "Bogdanov" in found.citation


def test_a_malformed_line_is_named(tmp_path):
    root = made_folder(tmp_path)
    table = root / "autotagging_top50tags-test.tsv"
    table.write_text(table.read_text() + "track\tonly three\tcells\n")
    with pytest.raises(SslAudioError, match=r"test\.tsv, line 5"):
        JamendoTop50(root=root).load()


def test_missing_audio_is_counted_and_must_be_allowed(tmp_path):
    root = made_folder(tmp_path)
    (root / "00" / "01.mp3").unlink()
    (root / "02" / "22.mp3").unlink()
    with pytest.raises(SslAudioError, match="1 of 3 train, 0 of 3 validation, 1 of 3 test"):
        JamendoTop50(root=root).load()
    found = JamendoTop50(root=root, allow_missing=True).load()
    assert found.missing == {"train": ("00/01.mp3",), "validation": (), "test": ("02/22.mp3",)}
    assert any("1 of 3 train" in note for note in found.notes)
    assert found.test.ids == ("02/20.mp3", "02/21.mp3")


@pytest.mark.parametrize("allow", [False, True])
def test_a_wrong_root_is_an_error_even_if_tracks_may_be_missing(tmp_path, allow):
    splits = made_folder(tmp_path / "splits")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SslAudioError, match="none of the 9 audio files"):
        JamendoTop50(root=tmp_path / "empty", splits=splits, allow_missing=allow).load()
    with pytest.raises(SslAudioError, match="no such folder"):
        JamendoTop50(root=tmp_path / "nowhere").load()


def test_scores(shared):
    found = Scores(root=shared / "audio" / "scores").load()
    assert sum(len(split.ids) for _, split in found.splits()) == 450
    assert not found.missing["train"] and len(found.tags) > 20
    assert found.hash == Scores(root=shared / "audio" / "scores").load().hash


def test_artists_and_albums_are_read_where_there_are_several(tmp_path):
    root = made_folder(tmp_path)
    assert JamendoTop50(root=root).load().train.artists == ()  # x for all
    table = root / "autotagging_top50tags-test.tsv"
    table.write_text(table.read_text().replace("track_21\tx\ty", "track_21\tz\tw"))
    found = JamendoTop50(root=root).load()
    assert found.train.artists == ("x", "x", "x") and found.test.artists == ("x", "z", "x")
    assert found.test.groups == ("y", "w", "y")
