"""Tracks with the same content are used once."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ssl_audio.audio import shards
from ssl_audio.audio.duplicates import without_duplicates
from ssl_audio.audio.scan import Manifest, scan
from ssl_audio.audio.sources import find_audio
from ssl_audio.io import identical_files

RATE = 16_000


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Six files of 2 s: one is a copy of another, one differs from another in its last byte."""
    folder = tmp_path / "music"
    folder.mkdir()
    for k in range(4):
        noise = 0.1 * np.random.default_rng(k).standard_normal(2 * RATE)
        soundfile.write(folder / f"{k}.wav", noise, RATE)
    shutil.copy(folder / "1.wav", folder / "copy.wav")
    content = bytearray((folder / "2.wav").read_bytes())
    content[-1] ^= 1
    (folder / "nearly.wav").write_bytes(content)
    return folder


def names(manifest: Manifest) -> list[str]:
    return [Path(track.path).name for track in manifest.tracks]


def test_copies_are_listed_and_only_candidates_are_read(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Counter[str]()
    whole = identical_files.file_sha256

    def counted(path: str) -> str:
        read[Path(path).name] += 1
        return whole(path)

    monkeypatch.setattr(identical_files, "file_sha256", counted)
    found = without_duplicates(scan(find_audio(music), cache=tmp_path))
    assert names(found) == ["0.wav", "1.wav", "2.wav", "3.wav", "nearly.wav"]
    assert set(read) == {"1.wav", "copy.wav", "2.wav", "nearly.wav"}  # others differ in the middle
    [one] = found.skipped
    assert (Path(one.path).name, one.reason) == ("copy.wav", "duplicate")
    assert one.detail == f"same content as {music / '1.wav'}"
    assert "1 files skipped (1 duplicate)" in found.summary()


def test_a_shard_and_its_source_are_the_same(music: Path, tmp_path: Path) -> None:
    files = scan(find_audio(music), cache=tmp_path)
    made = shards.write_shards(find_audio(music), tmp_path / "shards", cache=tmp_path)
    soundfile.write(music / "later.wav", np.full(2 * RATE, 0.1), RATE)
    more = scan(find_audio(music), cache=tmp_path).tracks
    found = without_duplicates(Manifest([*made.tracks, *more], []))
    assert len(found.tracks) == 6 and Path(found.tracks[-1].path).name == "later.wav"
    assert found.tracks[:5] == [t for t in made.tracks if t in found.tracks]
    assert len(found.skipped) == len(files.tracks) + 1
    assert {track.group for track in made.tracks} == {str(music)}
