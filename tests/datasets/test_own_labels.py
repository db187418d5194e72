"""The data sets `folder` and `csv`."""

import os

import numpy as np
import pytest
from made_datasets import touch, write_table

from ssl_audio.datasets.folder import TagFolders
from ssl_audio.datasets.table import TagTable
from ssl_audio.io.errors import SslAudioError


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_folder_for_each_tag(tmp_path, link):
    touch(tmp_path, [f"{tag}/{n}.wav" for tag in ("rock", "jazz") for n in range(40)])
    link(tmp_path / "jazz" / "0.wav", tmp_path / "rock" / "both.wav")
    found = TagFolders(root=tmp_path).load()
    assert found.tags == ("jazz", "rock")
    every = {i: t for _, s in found.splits() for i, t in zip(s.ids, s.targets, strict=True)}
    np.testing.assert_array_equal(every["jazz/0.wav"], [1, 1])
    np.testing.assert_array_equal(every["rock/0.wav"], [0, 1])
    assert len(every) == 80 and TagFolders(root=tmp_path).load().hash == found.hash
    assert TagFolders(root=tmp_path, seed=1).load().train.ids != found.train.ids


def test_all_decoded_formats_are_taken_and_other_audio_is_named(tmp_path):
    suffixes = ["au", "w64", "aif", "caf", "WAV"]
    names = [f"{tag}/{n}.{suffix}" for tag in "xy" for suffix in suffixes for n in range(9)]
    touch(tmp_path, [*names, "x/score.MID", "y/headerless.raw", "y/cover.jpg"])
    found = TagFolders(root=tmp_path).load()
    assert sum(len(split.ids) for _, split in found.splits()) == len(names)
    [note] = [note for note in found.notes if "not read" in note]
    assert "2 files" in note and "x/score.MID, y/headerless.raw" in note


def test_names_of_files_need_not_be_text(tmp_path):
    touch(tmp_path, [f"{tag}/{n}.wav" for tag in "xy" for n in range(20)])
    os.rename(tmp_path / "x" / "0.wav", os.fsencode(tmp_path / "x") + b"/\xff.wav")
    found = TagFolders(root=tmp_path).load()
    assert "x/\\xff.wav" in {track for _, split in found.splits() for track in split.ids}


def test_a_name_that_no_file_can_have_is_missing_audio(tmp_path):
    touch(tmp_path, [f"{n}.wav" for n in range(9)])
    rows = [
        f"{n}.wav,{'xy'[n % 2]},{split}" for n, split in enumerate(("train", "valid", "test") * 3)
    ]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["path,tags,split", *rows, f"{'a' * 300}.wav,x,train"]))
    with pytest.raises(SslAudioError, match="audio is missing for 1 of 4 train"):
        TagTable(table=table).load()


def test_one_tag_is_not_enough(tmp_path):
    touch(tmp_path, ["rock/0.wav", "loose.wav"])
    with pytest.raises(SslAudioError, match="two or more folders"):
        TagFolders(root=tmp_path).load()


def test_a_table(tmp_path):
    rows = [
        (f"a/{n}.wav", "x|y" if n < 6 else "y|z", ("train", "valid", "test")[n % 3])
        for n in range(12)
    ]
    found = TagTable(table=write_table(tmp_path / "own.csv", rows)).load()
    assert found.tags == ("x", "z") and len(found.validation.ids) == 4
    wrong = write_table(tmp_path / "own.csv", [*rows[:2], ("a/b.wav", "x", "nowhere")])
    with pytest.raises(SslAudioError, match="line 4"):
        TagTable(table=wrong).load()


def made_choices(tmp_path, artists, each=12):
    """A table of tracks by the number of their artist, with tags x and y in every split."""
    lines = ["path,tags,split,artist"]
    names = [f"{n}.wav" for n in range(3 * each)]
    for n, name in enumerate(names):
        split = ("train", "validation", "test")[n // each]
        lines.append(f"{name},{'xy'[n % 2]},{split},{artists(n)}")
    (tmp_path / "own.csv").write_text("\n".join(lines))
    touch(tmp_path, names)
    return TagTable(table=tmp_path / "own.csv").load()


def test_choices_are_made_without_the_test_split(tmp_path):
    whole = made_choices(tmp_path, lambda n: f"a{n // 2}", each=30)
    found = whole.for_choices()
    assert found.test.ids == whole.validation.ids and not set(found.test.ids) & set(whole.test.ids)
    parts = [set(split.artists) for split in (found.train, found.validation)]
    assert not parts[0] & parts[1] and parts[0] | parts[1] == set(whole.train.artists)
    assert len(found.train.ids) == 24 and len(found.validation.ids) == 6
    assert found.notes == ("measured on the validation split, with 6 training tracks in its place",)
    assert found.hash == whole.for_choices().hash != whole.for_choices(seed=1).hash
    np.testing.assert_array_equal(found.test.targets, whole.validation.targets)


def test_choices_need_more_than_one_artist(tmp_path):
    message = "csv: too few training tracks or artists to choose with: 12 tracks, 1 artists"
    with pytest.raises(SslAudioError, match=f"^{message}$"):
        made_choices(tmp_path, lambda n: "same").for_choices()


def test_tracks_are_resampled_by_artist_else_by_themselves(tmp_path):
    found = made_choices(tmp_path, lambda n: "" if n % 2 else "anna").train
    assert found.clusters[:4] == ("artist anna", "track 1.wav", "artist anna", "track 3.wav")


@pytest.mark.parametrize("spelling", ["a/0.wav", "./a/0.wav", "a//0.wav", "a/./0.wav"])
def test_a_path_that_is_listed_twice_is_refused(tmp_path, spelling):
    rows = [("a/0.wav", "x", "train"), ("a/1.wav", "y", "validation"), (spelling, "x", "test")]
    with pytest.raises(SslAudioError, match="a/0.wav is listed twice"):
        TagTable(table=write_table(tmp_path / "own.csv", rows)).load()


@pytest.mark.parametrize(
    "cell", ["rock|live", "rock;live", "rock, live", " live ;rock;", "live,rock"]
)
def test_tags_are_separated_by_bars_semicolons_and_commas(tmp_path, cell):
    rows = [
        (f"{split}{n}.wav", cell if n else "jazz", split)
        for split in ("train", "validation", "test")
        for n in range(3)
    ]
    found = TagTable(table=write_table(tmp_path / "own.csv", rows)).load()
    assert found.tags == ("jazz", "live", "rock")
    np.testing.assert_array_equal(found.train.targets, [[1, 0, 0], [0, 1, 1], [0, 1, 1]])


def test_no_tag_with_positives_and_negatives_is_an_error(tmp_path):
    rows = [(f"{split}.wav", "x", split) for split in ("train", "validation", "test")]
    with pytest.raises(SslAudioError, match="no tag has positives"):
        TagTable(table=write_table(tmp_path / "own.csv", rows)).load()


def test_a_table_that_cannot_be_read_is_one_line(tmp_path):
    latin = tmp_path / "latin.csv"
    latin.write_bytes("path,tags\na.wav,é".encode("latin-1"))
    for path in (tmp_path / "absent.csv", tmp_path, latin):
        with pytest.raises(SslAudioError, match="cannot read"):
            TagTable(table=path).load()
