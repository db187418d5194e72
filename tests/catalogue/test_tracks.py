"""The tracks of a source, and the list of those that failed."""

import contextlib
import io
import os
import socket
from pathlib import Path

import pytest
import soundfile

from ssl_audio.catalogue.tracks import Item, in_shard, list_items, row_of
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


def test_shards_divide_the_tracks(music):
    names = [f"{k}.wav" for k in range(200)]
    shards = [{name for name in names if in_shard(name, (k, 3))} for k in (1, 2, 3)]
    assert sum(map(len, shards)) == 200 and set.union(*shards) == set(names)
    assert min(map(len, shards)) > 40
    parts = [list_items(music, (k, 2)) for k in (1, 2)]
    assert sorted(parts[0] + parts[1]) == list_items(music)


def test_what_is_no_file_is_refused_before_it_is_opened(music):
    os.mkfifo(music / "pipe.wav")
    (music / "loop.wav").symlink_to("loop.wav")
    (music / "loop").symlink_to(music)
    # names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(music):
        listening.bind("socket.wav")
    listing = music / "list.txt"
    names = ["pipe.wav", "loop.wav", "socket.wav", "/dev/zero", "a\0b.wav", "x" * 300, "more"]
    listing.write_text("\n".join(names))

    def analyse(path):
        raise AssertionError(f"{path} was opened")

    reasons = [row_of(item, analyse).reason for item in list_items(listing)]
    expected = ["named pipe", "symbolic links", "socket", "device", "null", "too long", "folder"]
    for reason, word in zip(reasons, expected, strict=True):
        assert word in reason
    assert len(list_items(music)) == 5


def test_a_source_has_the_same_ids_by_any_of_its_names(music, monkeypatch):
    expected = [item.id for item in list_items(music)]
    (music.parent / "other").mkdir()
    (music.parent / "other" / "link").symlink_to("../music")
    monkeypatch.chdir(music.parent / "other")
    for name in ("link", "../music", "./link/", "../other/link/more/.."):
        assert [item.id for item in list_items(Path(name))] == expected, name


@pytest.mark.skipif(os.name != "posix", reason="names of any bytes")
def test_two_names_have_two_ids(music):
    for name in (b"\xe9.wav", b"\\xe9.wav", b"\\x5cxe9.wav"):
        os.link(music / "0.wav", os.fsencode(music) + b"/" + name)
    ids = [item.id for item in list_items(music)]
    assert len(set(ids)) == len(ids) == 5


def test_names_on_standard_input_are_bytes(music, monkeypatch):
    given = io.TextIOWrapper(io.BytesIO(b"caf\xe9.wav\n"), encoding="ascii")
    monkeypatch.setattr("sys.stdin", given)
    (item,) = list_items(Path("-"))
    assert item.path.is_absolute() and os.fsencode(item.path.name) == b"caf\xe9.wav"
    assert item.id == "caf\\xe9.wav"
