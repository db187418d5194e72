"""The tracks of a source, and the list of those that failed."""

import csv
import io
import os
from pathlib import Path

import pytest
import soundfile

from ssl_audio.catalogue.tracks import Failure, Item, list_items, missing, write_failures
from ssl_audio.io.errors import SslAudioError


@pytest.fixture
def music(tmp_path):
    (tmp_path / "music" / "more").mkdir(parents=True)
    for name in ("0.wav", "more/1.flac"):
        soundfile.write(tmp_path / "music" / name, [0.0, 0.1], 16_000)
    return tmp_path / "music"


def test_ids_are_paths_below_the_source(music, monkeypatch):
    assert [item.id for item in list_items(music)] == ["0.wav", "more/1.flac"]
    assert list_items(music / "0.wav") == [Item("0.wav", music / "0.wav")]
    other = music.parent / "2.wav"
    listing = music / "list.txt"
    listing.write_text("\n".join(["0.wav", str(music / "more" / "1.flac"), str(other)]))
    assert [item.id for item in list_items(listing)] == ["0.wav", "more/1.flac", str(other)]
    monkeypatch.setattr("sys.stdin", io.StringIO("b.wav\n\na b.wav\r\n"))
    assert [item.id for item in list_items(Path("-"))] == ["b.wav", "a b.wav"]


def test_a_source_without_tracks_is_refused(tmp_path):
    for source in (tmp_path / "nothing", tmp_path):
        with pytest.raises(SslAudioError, match=str(source)):
            list_items(source)


@pytest.mark.skipif(os.name != "posix", reason="names of any bytes")
def test_a_name_that_is_not_text(music):
    name = os.fsencode(music) + b"/\xe9.wav"
    os.rename(music / "0.wav", name)
    items = list_items(music)
    assert [os.fsencode(item.path) for item in items if "1.flac" not in item.id] == [name]
    assert all(item.id.encode() for item in items)


def test_finished_and_repeated_tracks_are_left_out(tmp_path):
    items = [Item(name, tmp_path) for name in "abcab"]
    assert [item.id for item in missing(items, {"c"})] == ["a", "b"]
    lazy = missing(iter(items), {"a"})
    assert not isinstance(lazy, list) and [item.id for item in lazy] == ["b", "c"]


def test_failures_are_listed_and_an_old_list_is_removed(tmp_path):
    path = tmp_path / "failures.csv"
    write_failures(path, [Failure("a,b", "/music/a,b", "cut off")])
    assert list(csv.DictReader(path.open())) == [
        {"id": "a,b", "path": "/music/a,b", "reason": "cut off"}
    ]
    write_failures(path, [])
    assert not path.exists()
