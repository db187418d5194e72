"""Containers whose promise is wrong: all audio is read, or what is missing is named."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.audio import decode, layouts
from ssl_audio.audio.layouts import layout_of
from ssl_audio.io.errors import AudioError

RATE = 48_000
FORMATS = {
    "wav": {"format": "WAV"},
    "rf64": {"format": "RF64"},
    "aiff": {"format": "AIFF"},
    "aifc": {"format": "AIFF", "subtype": "FLOAT"},
    "au": {"format": "AU"},
    "caf": {"format": "CAF"},
    "w64": {"format": "W64"},
    "flac": {"format": "FLAC"},
    "ogg": {"format": "OGG"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {"format": "MP3", "bitrate_mode": "VARIABLE"},
}


def encoded(kind: str, seconds: float, rate: int = RATE, channels: int = 2) -> bytes:
    """A chirp, which no two places of have in common."""
    time = np.arange(round(seconds * rate)) / rate
    samples = 0.3 * np.sin(2 * np.pi * (200 + 150 * time) * time)
    file = io.BytesIO()
    soundfile.write(file, np.stack([samples] * channels, 1), rate, **FORMATS[kind])
    return file.getvalue()


def patched(content: bytes, mark: bytes, offset: int, field: bytes) -> bytes:
    place = content.index(mark) + offset
    return content[:place] + field + content[place + len(field) :]


def mp3_count(content: bytes, factor: float) -> bytes:
    count = struct.unpack(">I", content[content.index(b"Xing") + 8 :][:4])[0]
    return patched(content, b"Xing", 8, struct.pack(">I", round(count * factor)))


def flac_total(content: bytes, factor: float) -> bytes:
    described = int.from_bytes(content[18:26], "big")
    total = described & (1 << 36) - 1
    right = described - total + round(total * factor)
    return content[:18] + right.to_bytes(8, "big") + content[26:]


def without_xing(content: bytes) -> bytes:
    return content[content.index(b"\xff\xfb", 4) :]


def with_tag(content: bytes) -> bytes:
    """After an ID3v2 tag of 5000 bytes, as files are that were joined with their covers."""
    return b"ID3\4\0\0\0\0" + bytes([39, 8]) + b"\xff\xfb" * 2500 + content


WRONG: dict[str, Callable[[bytes, bytes], bytes]] = {
    "wav half": lambda a, _: patched(a, b"data", 4, struct.pack("<I", len(a) // 2)),
    "wav zero": lambda a, _: patched(a, b"data", 4, bytes(4)),
    "wav piped": lambda a, _: patched(a, b"data", 4, b"\xff" * 4),
    "aiff half": lambda a, _: patched(a, b"SSND", 4, struct.pack(">I", len(a) // 2)),
    "aifc half": lambda a, _: patched(a, b"SSND", 4, struct.pack(">I", len(a) // 2)),
    "au half": lambda a, _: patched(a, b".snd", 8, struct.pack(">I", len(a) // 2)),
    "au unknown": lambda a, _: patched(a, b".snd", 8, b"\xff" * 4),
    "au joined": lambda a, b: a + b,
    "caf half": lambda a, _: patched(a, b"data", 4, struct.pack(">q", len(a) // 2)),
    "caf unknown": lambda a, _: patched(a, b"data", 4, b"\xff" * 8),
    "caf joined": lambda a, b: a + b,
    "w64 half": lambda a, _: patched(a, b"data", 16, struct.pack("<Q", len(a) // 2)),
    "w64 joined": lambda a, b: a + b,
    "flac half": lambda a, _: flac_total(a, 0.5),
    "flac unknown": lambda a, _: flac_total(a, 0),
    "mp3 half": lambda a, _: mp3_count(a, 0.5),
    "mp3 double": lambda a, _: mp3_count(a, 2),
    "mp3 no count": lambda a, _: without_xing(a),
    "wav joined": lambda a, b: a + b,
    "aiff joined": lambda a, b: a + b,
    "flac joined": lambda a, b: a + b,
    "ogg chained": lambda a, b: a + b,
    "opus chained": lambda a, b: a + b,
    "mp3 joined": lambda a, b: a + b,
    "mp3 joined with a tag": lambda a, b: a + with_tag(b),
}


@pytest.mark.parametrize("name", WRONG)
def test_all_audio_is_read_and_a_crop_is_that_of_the_whole(tmp_path, name):
    kind = name.split()[0]
    first, second = encoded(kind, 3), encoded(kind, 2)
    path = tmp_path / "a.bin"
    path.write_bytes(WRONG[name](first, second))
    seconds = 5.0 if "joined" in name or "chained" in name else 3.0
    stream = decode.Stream(path)
    whole = np.concatenate(list(stream))
    assert len(whole) / 16_000 == pytest.approx(seconds, abs=0.1)
    assert stream.note == ""
    found = decode.examine(path)
    assert found.duration == pytest.approx(len(whole) / 16_000, abs=0.03) and not found.damage
    np.testing.assert_array_equal(whole, decode.read(path))
    for start in (0.4, seconds / 2, found.duration - 1.0):
        begin = round(start * 16_000)
        crop = decode.read(path, start, 0.9)
        np.testing.assert_allclose(crop, whole[begin : begin + len(crop)], atol=2e-4)
    (tmp_path / "right.bin").write_bytes(first)
    right = decode.read(tmp_path / "right.bin", 0.5, 2.0)
    shift = 529 * 16_000 // RATE if name == "mp3 no count" else 0  # the decoder's own delay
    if not shift:
        np.testing.assert_allclose(whole[8_000:40_000], right, atol=1e-3)


@pytest.mark.parametrize("name", ["mp3 half", "mp3 double", "mp3 joined with a tag"])
def test_the_decoder_prints_nothing_about_a_wrong_header(tmp_path, capfd, name):
    path = tmp_path / "a.mp3"
    path.write_bytes(WRONG[name](encoded("mp3", 2), encoded("mp3", 2)))
    decode.read(path, 0.5, 1.0)
    decode.read(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_missing_is_named_with_the_seconds_read(tmp_path, kind):
    path = tmp_path / "a.bin"
    content = encoded(kind, 6)
    path.write_bytes(content[: len(content) // 2])
    stream = decode.Stream(path)
    seconds = sum(map(len, stream)) / 16_000
    assert 1.0 < seconds < 5.0
    assert float(stream.note.split()[0]) == pytest.approx(seconds, abs=0.01)
    if kind in ("ogg", "opus"):  # their length is on the page that is missing
        assert "last page is missing" in stream.note
    else:
        assert " of 6.0" in stream.note and "it ends before" in stream.note
    assert decode.examine(path).damage[-15:] == stream.note[-15:]


@pytest.mark.parametrize("kind", ["mp3", "ogg", "wav"])
def test_a_part_of_another_sample_rate_is_named(tmp_path, kind):
    path = tmp_path / "a.bin"
    path.write_bytes(encoded(kind, 3) + encoded(kind, 2, 24_000))
    stream = decode.Stream(path)
    assert sum(map(len, stream)) / 16_000 == pytest.approx(3, abs=0.1)
    assert " of 5.0" in stream.note and "sample rate" in stream.note


def test_foreign_bytes_in_an_mp3_are_named(tmp_path):
    content = encoded("mp3", 4)
    middle = len(content) // 2
    path = tmp_path / "a.mp3"
    path.write_bytes(content[:middle] + b"no mp3 " * 2000 + content[middle:])
    stream = decode.Stream(path)
    assert sum(map(len, stream)) / 16_000 == pytest.approx(4, abs=0.1)
    assert "no mp3 frames" in stream.note


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("seconds", [0.05, 1.0, 2.345])
@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (16_000, 2)])
def test_a_right_promise_is_believed(tmp_path, kind, seconds, rate, channels):
    path = tmp_path / "a.bin"
    path.write_bytes(encoded(kind, seconds, rate, channels))
    found = layout_of(str(path))
    assert found.seconds == pytest.approx(seconds, abs=0.05) and not found.fault
    assert len(found.parts) <= 1
    stream = decode.Stream(path)
    assert sum(map(len, stream)) > 0 and stream.note == ""


WHOLE = {kind: encoded(kind, 0.3, 16_000, 1) for kind in FORMATS}


@settings(max_examples=60)
@given(
    kind=st.sampled_from(sorted(FORMATS)), place=st.floats(0, 0.999), junk=st.binary(max_size=64),
    length=st.integers(0, 64), again=st.booleans(),
)  # fmt: skip
def test_no_bytes_stop_the_check(tmp_path_factory, kind, place, junk, length, again):
    content = WHOLE[kind]
    cut = int(len(content) * place**3)  # headers are at the start
    damaged = content[:cut] + junk + content[cut + length :] + (content if again else b"")
    path = tmp_path_factory.getbasetemp() / "fuzzed.bin"
    path.write_bytes(damaged)
    layout_of(str(path))
    try:
        assert all(np.isfinite(block).all() for block in decode.Stream(path))
    except AudioError as error:
        assert error.reason in ("unreadable", "truncated", "empty", "unsupported")


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    """Simulated: a superuser, who may run the tests, can read everything."""
    path = tmp_path / "a.wav"
    path.write_bytes(WHOLE["wav"])

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(layouts, "open", refuse, raising=False)
    for read in (decode.read, decode.examine, lambda path: list(decode.Stream(path))):
        with pytest.raises(AudioError, match="unreadable .Permission denied"):
            read(path)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_flac_that_ends_in_silence_is_whole(channels, tmp_path):
    """A frame of digital silence is 13 bytes long, or 16 with two channels."""
    samples = np.zeros((12 * 4096, channels))  # twelve frames
    samples[: RATE // 2] = 0.1
    soundfile.write(path := tmp_path / "a.flac", samples, RATE)
    assert decode.examine(path).damage == ""
    path.write_bytes(path.read_bytes()[:-12])
    assert "it ends before its header says" in decode.examine(path).damage


@pytest.mark.parametrize("kind", ["flac", "ogg", "opus", "mp3"])
def test_a_few_places_of_a_large_file_show_what_is_wrong(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(layouts, "_SMALL", 1)
    first, second = encoded(kind, 8), encoded(kind, 8)
    contents = {"right": first, "joined": first + second, "cut": first[: len(first) * 2 // 3]}
    if kind == "mp3":
        contents |= {f"times {factor}": mp3_count(first, factor) for factor in (0.5, 0.93, 1.2)}
    elif kind == "flac":
        contents["half"] = flac_total(first, 0.5)
    for name, content in contents.items():
        path = tmp_path / f"{name}.{kind}"
        path.write_bytes(content)
        quick, found = layout_of(str(path), whole=False), layout_of(str(path))
        assert quick.seconds == pytest.approx(found.seconds, abs=0.01), name
        if name == "right":
            assert not quick.parts and not quick.fault
        else:
            assert quick == found, name
