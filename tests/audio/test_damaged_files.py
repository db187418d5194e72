"""Hundreds of damaged files: each is a track or in the report, and a crop is audio or an error."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssl_audio.audio import SAMPLE_RATE, decode, scan, sources
from ssl_audio.io.errors import AudioError

Damage = Callable[[bytes, np.random.Generator], bytes]
RATES = {"wav": 22050, "flac": 44100, "ogg": 44100, "mp3": 44100}
COPIES = 6


def cut(content: bytes, generator: np.random.Generator) -> bytes:
    return content[: int(generator.integers(1, len(content)))]


def cut_front(content: bytes, generator: np.random.Generator) -> bytes:
    return content[int(generator.integers(1, len(content))) :]


def flip(low: float, high: float, count: int) -> Damage:
    """Flip `count` bits between two places, given as parts of the file."""

    def damage(content: bytes, generator: np.random.Generator) -> bytes:
        result = bytearray(content)
        first, last = int(low * len(content)), max(1, int(high * len(content)))
        for place in generator.integers(first, last, count):
            result[place] ^= 1 << int(generator.integers(8))
        return bytes(result)

    return damage


def header_only(content: bytes, generator: np.random.Generator) -> bytes:
    return content[: int(generator.integers(20, 60))]


def hole(content: bytes, generator: np.random.Generator) -> bytes:
    start = int(generator.integers(len(content)))
    length = int(generator.integers(1, 5000))
    return content[:start] + bytes(min(length, len(content) - start)) + content[start + length :]


def tail_of_noise(content: bytes, generator: np.random.Generator) -> bytes:
    return content[: len(content) // 2] + generator.bytes(len(content) // 2)


DAMAGES: dict[str, Damage] = {
    "cut": cut,
    "front": cut_front,
    "flip_header": flip(0.0, 0.005, 4),
    "flip_one": flip(0.0, 1.0, 1),
    "flip_many": flip(0.0, 1.0, 300),
    "header": header_only,
    "hole": hole,
    "noise": tail_of_noise,
}


def write_whole(path: Path, samples: np.ndarray, rate: int) -> bytes:
    soundfile.write(path, samples, rate)
    content = path.read_bytes()
    path.unlink()
    return content


def odd_files(root: Path, whole: dict[str, bytes], generator: np.random.Generator) -> None:
    """Write what is wrong in other ways: empty, misnamed, one sample long, no audio at all."""
    suffixes = list(whole)
    for k, suffix in enumerate(suffixes):
        (root / f"empty.{suffix}").touch()
        (root / f"text.{suffix}").write_text("Never gonna give you audio.\n" * 50)
        (root / f"random.{suffix}").write_bytes(generator.bytes(5000))
        (root / f"zeros.{suffix}").write_bytes(bytes(5000))
        (root / f"misnamed.{suffixes[k - 1]}").write_bytes(whole[suffix])
        soundfile.write(root / f"sample.{suffix}", np.full((1, 1), 0.5), RATES[suffix])
        soundfile.write(root / f"nothing.{suffix}", np.zeros((0, 1)), RATES[suffix])
    wav = bytearray(whole["wav"])
    for name, place, value in [
        ("no_channels", 22, bytes(2)),
        ("all_channels", 22, b"\xff\xff"),
        ("no_rate", 24, bytes(4)),
        ("all_rate", 24, b"\xff\xff\xff\x7f"),
        ("no_bits", 34, bytes(2)),
        ("no_block", 32, bytes(2)),
        ("all_data", 40, b"\xff\xff\xff\xff"),
        ("no_data", 40, bytes(4)),
    ]:
        wav_now = bytearray(wav)
        wav_now[place : place + len(value)] = value
        (root / f"{name}.wav").write_bytes(wav_now)
    bits = np.frombuffer(generator.bytes(4 * 22050), np.float32)
    soundfile.write(root / "any_bits.wav", bits, 22050, subtype="FLOAT")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("damaged")
    generator = np.random.default_rng(20)
    whole = {}
    for k, (suffix, rate) in enumerate(RATES.items()):
        samples = 0.1 * generator.standard_normal((3 * rate, 1 + k % 2))
        whole[suffix] = write_whole(root / f"whole.{suffix}", samples, rate)
        for name, damage in DAMAGES.items():
            for copy in range(COPIES):
                content = damage(whole[suffix], generator)
                (root / f"{name}{copy}.{suffix}").write_bytes(content)
    odd_files(root, whole, generator)
    return root


def test_every_damaged_file_is_a_track_or_in_the_report(corpus: Path, tmp_path: Path) -> None:
    found_sources = sources.find_audio(corpus)
    assert len(found_sources) >= 200
    found = scan.scan(found_sources, tmp_path)
    tracks = [track.path for track in found.tracks]
    skipped = {item.path: item for item in found.skipped}
    assert sorted([*tracks, *skipped]) == [source.path for source in found_sources]

    reasons = {Path(path).name: item.reason for path, item in skipped.items()}
    for suffix in RATES:
        assert reasons[f"empty.{suffix}"] == "empty"
        for name in ("text", "random", "zeros"):
            assert f"{name}.{suffix}" in reasons
        # a lossy file of one sample decodes to a whole frame, or to nothing
        assert reasons.get(f"sample.{suffix}", "too short") in ("too short", "silent", "empty")
    assert {"no_channels.wav", "no_rate.wav", "any_bits.wav"} <= set(reasons)
    kept = {Path(path).name for path in tracks}
    assert {f"misnamed.{suffix}" for suffix in RATES} <= kept
    assert 40 <= len(tracks) <= len(found_sources) - 40
    assert "crashed" not in str(found.skipped) and "no answer" not in str(found.skipped)

    report = tmp_path / "skipped.csv"
    found.save_report(report)
    partial = {Path(track.path).name for track in found.tracks if track.damage}
    assert report.read_text().count("\n") == len(skipped) + len(partial) + 1
    assert not any("misnamed" in name or "whole" in name for name in partial)
    assert all(f"cut{copy}.flac" in partial for copy in range(COPIES) if f"cut{copy}.flac" in kept)
    check_crops(found.tracks)


def check_crops(tracks: list[scan.Track]) -> None:
    generator = np.random.default_rng(3)
    read = failed = 0
    for track in tracks:
        for _ in range(3):
            length = float(generator.uniform(0.05, 1.0)) * min(1.0, track.duration)
            start = float(generator.uniform(0, track.duration - length))
            try:
                samples = decode.read(track.path, start, length)
            except AudioError as error:
                assert error.reason in ("unreadable", "truncated", "empty"), track
                failed += 1
                continue
            assert samples.shape == (round(length * SAMPLE_RATE),), track
            assert np.isfinite(samples).all(), track
            read += 1
    assert read > 5 * failed  # a scan that lets much through that cannot be read is no scan
