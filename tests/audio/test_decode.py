"""Reading: every codec, rate and layout; crops against the whole; what is refused, and why."""

import importlib
import math
import pickle
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import soxr

from ssl_audio.audio import decode, decoders, ffmpeg, sndfile
from ssl_audio.io.errors import AudioError

LOSSLESS = [
    ("wav", "PCM_U8", 2**-7),
    ("wav", "PCM_16", 2**-15),
    ("wav", "PCM_24", 2**-23),
    ("wav", "FLOAT", 0.0),
    ("flac", "PCM_16", 2**-15),
    ("flac", "PCM_24", 2**-23),
]
LOSSY = [("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III"), ("opus", "OPUS")]


def noise(seconds: float, rate: int, channels: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return 0.1 * generator.standard_normal((round(seconds * rate), channels)).astype(np.float32)


def tone(seconds: float, rate: int, frequency: float) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write(path: Path, samples: np.ndarray, rate: int, subtype: str | None = None) -> Path:
    if path.suffix == ".opus":
        soundfile.write(path, samples, rate, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, samples, rate, subtype=subtype)
    return path


def has_codec() -> bool:
    try:
        ffmpeg.torchcodec_decoder()
    except ffmpeg.TorchcodecMissing:
        return False
    return shutil.which("ffmpeg") is not None


needs_codec = pytest.mark.skipif(not has_codec(), reason="torchcodec or FFmpeg is not installed")


@pytest.mark.parametrize(("suffix", "subtype", "step"), LOSSLESS)
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (44100, 1), (96000, 6)])
def test_lossless_files_come_back_as_the_mean_of_their_channels(
    tmp_path: Path, suffix: str, subtype: str, step: float, rate: int, channels: int
) -> None:
    samples = noise(1.0, rate, channels)
    path = write(tmp_path / f"a.{suffix}", samples, rate, subtype)
    assert decode.info(path) == decode.AudioInfo(1.0, rate, channels)
    assert decode.examine(path) == decode.AudioInfo(1.0, rate, channels)
    got = decode.read(path, sample_rate=rate)
    assert got.dtype == np.float32 and got.flags.c_contiguous
    np.testing.assert_allclose(got, samples.mean(1), atol=step + 1e-7)


@pytest.mark.parametrize(("suffix", "subtype"), LOSSY)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_lossy_files_keep_time_and_amplitude(
    tmp_path: Path, suffix: str, subtype: str, rate: int, channels: int
) -> None:
    if suffix == "opus" and rate == 44100:
        pytest.skip("opus has no 44.1 kHz")
    samples = np.repeat(tone(3.0, rate, 440.0)[:, None], channels, axis=1)
    path = write(tmp_path / f"a.{suffix}", samples, rate)
    assert decode.examine(path).duration == pytest.approx(3.0, abs=0.06)
    start = 0.7 + 1 / 16000
    got = decode.read(path, start, 1.5)
    expected = 0.5 * np.sin(2 * np.pi * 440.0 * (start + np.arange(24000) / 16000))
    # a shift of one sample at 16 kHz is already an error of 0.061
    assert np.sqrt(np.mean((got - expected) ** 2)) < 0.03


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000, 44101])
def test_resampling_puts_a_tone_where_it_was(tmp_path: Path, rate: int) -> None:
    path = write(tmp_path / "a.wav", tone(4.0, rate, 1000.0), rate, "FLOAT")
    for start in (0.5, 1.23456, 2.2):
        begin = round(start * 16000)
        got = decode.read(path, start, 1.0)
        expected = 0.5 * np.sin(2 * np.pi * 1000.0 * (begin + np.arange(16000)) / 16000)
        np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_a_crop_is_the_crop_of_the_whole(tmp_path: Path, suffix: str, rate: int) -> None:
    path = write(tmp_path / f"a.{suffix}", noise(12.0, rate, 2), rate)
    whole = soundfile.read(path, dtype="float32")[0].mean(1)
    whole = soxr.resample(whole, rate, 16000)
    for start, length in [(0.0, 1.0), (0.01, 0.5), (3.33333, 4.0), (7.9999, 4.0), (11.0, 1.0)]:
        begin = round(start * 16000)
        got = decode.read(path, start, length)
        expected = whole[begin : begin + round(length * 16000)]
        np.testing.assert_allclose(got, expected, atol=2e-6)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_an_mp3_of_few_bits_is_not_silent_after_a_seek(
    tmp_path: Path, rate: int, channels: int
) -> None:
    samples = np.repeat(tone(6.0, rate, 440.0)[:, None], channels, axis=1)
    path = tmp_path / "a.mp3"
    soundfile.write(path, samples, rate, bitrate_mode="VARIABLE", compression_level=0.99)
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(1)
    for start in np.linspace(0.1, 4.9, 25):
        begin = round(start * rate)
        got = decode.read(path, start, 1.0, sample_rate=rate)
        np.testing.assert_allclose(got, whole[begin : begin + rate], atol=1e-6)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_only_the_crop_is_decoded(
    tmp_path: Path, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.flac", noise(20.0, rate, 1), rate)
    decoded = []

    class Counting(sndfile._SoundFile):
        def read(self, frames: int = -1, **rest: object) -> np.ndarray:
            got = super().read(frames, **rest)
            decoded.append(len(got))
            return got

    monkeypatch.setattr(sndfile, "_SoundFile", Counting)
    decode.read(path, 9.0, 2.0)
    assert 2.0 * rate <= sum(decoded) <= 2.1 * rate


def test_long_reads_are_joined_without_a_seam(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in ("wav", "flac", "ogg", "mp3", "opus"):
        path = write(tmp_path / f"a.{suffix}", noise(3.0, 48000, 2), 48000)
        whole = soundfile.read(path, dtype="float32")[0].mean(1)
        with monkeypatch.context() as patch:
            patch.setattr(sndfile, "BLOCK_SAMPLES", 20_000)
            got = decode.read(path, sample_rate=48000)
        np.testing.assert_allclose(got, whole, atol=1e-6, err_msg=suffix)
    # few bits to a frame, so that frames depend on many before them
    path = write(tmp_path / "tone.mp3", tone(3.0, 48000, 440.0), 48000)
    whole = soundfile.read(path, dtype="float32")[0]
    monkeypatch.setattr(sndfile, "BLOCK_SAMPLES", 20_000)
    np.testing.assert_allclose(decode.read(path, sample_rate=48000), whole, atol=1e-6)


@pytest.mark.parametrize("seconds", [1 / 16000, 0.3333, 1.00003, 4.0])
def test_lengths_are_exact(tmp_path: Path, seconds: float) -> None:
    path = write(tmp_path / "a.wav", noise(6.0, 44100, 1), 44100)
    assert len(decode.read(path, 0.7, seconds)) == round(seconds * 16000)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_few_missing_samples_are_zeros_and_more_are_an_error(tmp_path: Path, rate: int) -> None:
    path = write(tmp_path / "a.wav", 0.5 * np.ones(rate), rate)
    got = decode.read(path, 0.05, 1.0)
    assert len(got) == 16000
    assert np.all(got[-799:] == 0) and got[-900] == pytest.approx(0.5, abs=0.1)
    for start, length in [(0.1, 1.0), (0.0, 4.0), (1.0, 0.03), (500.0, 1.0)]:
        with pytest.raises(AudioError) as caught:
            decode.read(path, start, length)
        assert caught.value.reason == "truncated"


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "opus"])
@pytest.mark.parametrize("wrong", ["mp3", "wav", "m4a", "raw", "txt"])
def test_a_wrong_suffix_does_not_matter(tmp_path: Path, suffix: str, wrong: str) -> None:
    if wrong == "raw" and not has_codec():
        pytest.skip("soundfile wants to be told the format of a .raw file; torchcodec is missing")
    right = write(tmp_path / f"a.{suffix}", noise(1.0, 16000, 1), 16000)
    moved = shutil.copy(right, tmp_path / f"b.{wrong}")
    assert len(decode.read(moved, 0.2, 0.5)) == 8000


@needs_codec
@pytest.mark.parametrize("suffix", ["m4a", "aac", "webm"])
def test_torchcodec_reads_the_rest(tmp_path: Path, suffix: str) -> None:
    rate = 48000
    samples = np.repeat(tone(5.0, rate, 440.0)[:, None], 2, axis=1)
    source = write(tmp_path / "a.wav", samples, rate)
    path = tmp_path / f"a.{suffix}"
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, path], check=True)
    assert decode.info(path).sample_rate == rate
    assert decode.info(path).channels == 2
    assert decode.examine(path).duration == pytest.approx(5.0, abs=0.15)
    whole = decode.read(path)
    part = decode.read(path, 1.25, 2.0)
    assert part.shape == (32000,)
    assert np.sqrt(np.mean(part**2)) == pytest.approx(0.5 / math.sqrt(2), rel=0.05)
    # webm keeps times in milliseconds; the others agree to a sample
    shifts = range(-20, 21) if suffix == "webm" else [0]
    errors = [np.abs(part - whole[20000 + k : 52000 + k]).max() for k in shifts]
    assert min(errors) < (0.03 if suffix == "webm" else 1e-5)
    with pytest.raises(AudioError, match="truncated"):
        decode.read(path, 4.0, 4.0)


@needs_codec
def test_a_long_file_is_decoded_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "a.wav", noise(5.0, 44100, 2), 44100)
    path = tmp_path / "a.m4a"
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, path], check=True)
    whole = decode.read(path)
    monkeypatch.setattr(ffmpeg, "DECODED_AT_ONCE", 100_000)
    with decoders.open_whole(path) as reader:
        assert len(list(reader.blocks(0, None))) == 5
    np.testing.assert_array_equal(decode.read(path), whole)


def test_an_error_states_which_part_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom" + bytes(2000))

    def absent(error: Exception) -> None:
        def refuse(name: str) -> object:
            raise error

        monkeypatch.setattr(ffmpeg, "importlib", SimpleNamespace(import_module=refuse))

    absent(ModuleNotFoundError("No module named 'torchcodec'", name="torchcodec"))
    with pytest.raises(AudioError) as caught:
        decode.read(path)
    assert caught.value.reason == "unsupported"
    assert "torchcodec is missing" in str(caught.value)
    assert 'pip install "ssl_audio[codec]"' in str(caught.value)

    absent(RuntimeError("Could not load libtorchcodec.\nFour screens of why."))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(AudioError, match="FFmpeg, which torchcodec needs, is missing") as caught:
        decode.read(path)
    assert caught.value.reason == "unsupported"
    assert "Four screens" not in str(caught.value)

    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/ffmpeg")
    with pytest.raises(AudioError, match="torchcodec does not load"):
        decode.read(path)

    # A damaged file of a kind that libsndfile knows does not send anyone off to install things.
    path.write_bytes(b"fLaC" + bytes(100))
    with pytest.raises(AudioError, match="libsndfile") as caught:
        decode.read(path)
    assert caught.value.reason == "unreadable"


@needs_codec
@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2), (48000, 6)])
def test_an_undamaged_ogg_is_the_same_by_both_decoders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, channels: int
) -> None:
    path = write(tmp_path / "a.ogg", noise(5.0, rate, channels), rate)
    opened = decoders.open_whole(path)
    assert isinstance(opened, ffmpeg.VorbisReader) and opened._decoded() is not None
    fast = np.concatenate(list(decode.Stream(path)))
    np.testing.assert_array_equal(fast, decode.read(path))
    monkeypatch.setattr(decoders, "vorbis_decoder", lambda: None)
    np.testing.assert_allclose(fast, decode.read(path), atol=2e-6)


@needs_codec
@pytest.mark.parametrize("damage", ["cut", "flipped", "twice", "copied", "silent"])
def test_where_decoders_may_differ_libsndfile_has_the_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    whole = write(tmp_path / "a.ogg", noise(10.0, 44100, 2), 44100).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    contents = {"cut": whole[: len(whole) * 2 // 3], "flipped": flipped, "twice": whole + whole}
    path = tmp_path / "b.ogg"
    if damage in contents:
        path.write_bytes(contents[damage])
    elif damage == "copied":  # from a second on, where FFmpeg and libsndfile disagree
        copy = ["ffmpeg", "-v", "error", "-ss", "1", "-i", tmp_path / "a.ogg", "-c", "copy", path]
        subprocess.run(copy, check=True)
    else:
        write(path, np.concatenate([np.zeros((90_000, 2)), noise(1.0, 44100, 2)]), 44100)
    opened = decoders.open_whole(path)
    assert not isinstance(opened, ffmpeg.VorbisReader) or opened._decoded() is None

    def outcome() -> object:
        try:
            return np.concatenate(list(decode.Stream(path))).tolist()
        except AudioError as error:
            return str(error)

    found = outcome()
    monkeypatch.setattr(decoders, "vorbis_decoder", lambda: None)
    assert found == outcome()


def test_soundfile_is_tried_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.mp3", noise(2.0, 44100, 2), 44100)

    def refuse(name: str) -> object:
        raise AssertionError(f"{name} was imported for an mp3 that libsndfile opens")

    monkeypatch.setattr(ffmpeg, "importlib", SimpleNamespace(import_module=refuse))
    assert len(decode.read(path, 0.5, 1.0)) == 16000
    assert importlib.import_module("soundfile") is soundfile


def test_reasons(tmp_path: Path) -> None:
    (tmp_path / "zero.wav").touch()
    write(tmp_path / "header.wav", np.zeros((0, 1)), 16000)
    (tmp_path / "text.wav").write_text("not audio at all\n" * 100)
    broken = noise(1.0, 16000, 1)
    broken[100] = np.nan
    write(tmp_path / "nan.wav", broken, 16000, "FLOAT")
    broken[100] = 1e30
    write(tmp_path / "huge.wav", broken, 44100, "FLOAT")
    cases = {
        "zero.wav": {"empty"},
        "header.wav": {"empty"},
        "absent.wav": {"missing"},
        "text.wav": {"unreadable", "unsupported"},
        "nan.wav": {"unreadable"},
        "huge.wav": {"unreadable"},
        ".": {"unreadable"},
    }
    for name, reasons in cases.items():
        with pytest.raises(AudioError) as caught:
            decode.read(tmp_path / name)
        assert caught.value.reason in reasons, name
        assert caught.value.path == str(tmp_path / name)
        again = pickle.loads(pickle.dumps(caught.value))
        assert (again.reason, again.detail) == (caught.value.reason, caught.value.detail)


def test_a_negative_start_or_no_duration_is_the_callers_mistake(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise(1.0, 16000, 1), 16000)
    for start, duration in [(-1.0, 1.0), (math.nan, 1.0), (0.0, 0.0), (0.0, math.inf)]:
        with pytest.raises(ValueError):
            decode.read(path, start, duration)


def test_silent_files_are_distinguished_from_partly_quiet_ones(tmp_path: Path) -> None:
    rate = 16000
    silent = write(tmp_path / "silent.wav", 1e-5 * noise(8.0, rate, 1), rate, "FLOAT")
    with pytest.raises(AudioError) as caught:
        decode.examine(silent)
    assert caught.value.reason == "silent"
    click = np.zeros(8 * rate)
    click[100] = 0.5  # where no spot looks
    assert decode.examine(write(tmp_path / "click.wav", click, rate)).duration == 8.0
    opposed = np.stack([tone(2.0, rate, 300.0), -tone(2.0, rate, 300.0)], axis=1)
    with pytest.raises(AudioError, match="silent"):
        decode.examine(write(tmp_path / "opposed.wav", opposed, rate, "FLOAT"))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_a_truncated_file_has_its_decodable_length(tmp_path: Path, suffix: str) -> None:
    whole = write(tmp_path / f"a.{suffix}", noise(10.0, 44100, 1), 44100)
    content = whole.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(content[: len(content) // 2])
    duration = decode.examine(cut).duration
    assert 4.0 < duration < 6.0
    inside = decode.read(cut, 1.0, 2.0)
    np.testing.assert_allclose(inside, decode.read(whole, 1.0, 2.0), atol=1e-5)
    with pytest.raises(AudioError, match="truncated"):
        decode.read(cut, duration - 1.0, 2.0)


def test_real_recordings_read_like_their_whole(shared: Path) -> None:
    generator = np.random.default_rng(0)
    recordings = sorted((shared / "audio" / "recordings").glob("*.ogg"))
    assert recordings
    for path in recordings:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        found = decode.examine(path)
        assert found == decode.AudioInfo(len(samples) / rate, rate, samples.shape[1])
        length = min(1.0, found.duration / 2)
        start = float(generator.uniform(0, found.duration - length))
        expected = soxr.resample(samples.mean(1), rate, 16000)[round(start * 16000) :]
        got = decode.read(path, start, length)
        np.testing.assert_allclose(got, expected[: len(got)], atol=1e-5, err_msg=path.name)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_a_stream_joined_is_the_whole_file(tmp_path, rate, monkeypatch):
    path = tmp_path / "a.flac"
    noise = np.random.default_rng(0).normal(0, 0.1, (rate * 5 + 123, 2))
    soundfile.write(path, noise, rate)
    whole = decode.read(path)
    monkeypatch.setattr(sndfile, "BLOCK_SAMPLES", 1 << 15)
    blocks = list(decode.Stream(path))
    assert len(blocks) >= 4 and max(map(len, blocks)) <= 1 << 16
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_a_stream_without_samples_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16_000)
    with pytest.raises(AudioError, match="no samples"):
        list(decode.Stream(tmp_path / "a.wav"))
