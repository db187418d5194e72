"""Checksums of Ogg pages: what libsndfile writes is whole, and any damage shows."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ssl_audio.audio.ogg import is_whole


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A file of several pages."""
    path = tmp_path_factory.mktemp("ogg") / "a.ogg"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, (60_000, 2)), 44_100)
    assert path.read_bytes().count(b"OggS") > 4
    return path


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("seconds", [0.01, 1.0, 20.0])
def test_an_encoded_file_is_undamaged(tmp_path, subtype, seconds):
    noise = np.random.default_rng(1).normal(0, 0.1, round(seconds * 48_000))
    soundfile.write(tmp_path / "a.ogg", noise, 48_000, subtype=subtype)
    assert is_whole(tmp_path / "a.ogg")


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_shows(file, place, bit):
    data = bytearray(file.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    damaged = file.with_name("flipped.ogg")
    damaged.write_bytes(data)
    assert not is_whole(damaged)


@given(st.floats(0, 1, exclude_max=True))
def test_a_missing_end_shows(file, place):
    data = file.read_bytes()
    cut = file.with_name("cut.ogg")
    cut.write_bytes(data[: int(place * len(data))])
    assert not is_whole(cut)


def test_other_files_and_other_streams(file, tmp_path):
    data = file.read_bytes()
    pages = data.split(b"OggS")[1:]
    contents = {
        "two streams": data + data,
        "a page less": b"OggS" + b"OggS".join(pages[:2] + pages[3:]),
        "a start less": b"OggS" + b"OggS".join(pages[1:]),
        "rubbish at the end": data + b"rubbish",
        "another kind": b"RIFF" + bytes(100),
        "a header alone": data[:27],
    }
    for name, content in contents.items():
        (tmp_path / "b.ogg").write_bytes(content)
        assert not is_whole(tmp_path / "b.ogg"), name


def test_a_missing_file(tmp_path):
    with pytest.raises(OSError):
        is_whole(Path(tmp_path / "none.ogg"))
