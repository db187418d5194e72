"""The demo corpus: the same for everyone, whole or absent, and worth learning from."""

import json

import numpy as np
import pytest
import soundfile

from ssl_audio.audio.demo_corpus import make_demo
from ssl_audio.audio.sources import read_jamendo
from ssl_audio.audio.synthesis import GENRES, PLAYERS, compose
from ssl_audio.io.errors import SslAudioError


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_same_bytes_whatever_the_workers(tmp_path):
    one = make_demo(tmp_path / "one", 10, 2.0, seed=3, workers=1)
    two = make_demo(tmp_path / "two", 10, 2.0, seed=3, workers=2)
    assert contents(one) == contents(two)
    other = make_demo(tmp_path / "other", 10, 2.0, seed=4, workers=1)
    assert contents(one) != contents(other)


def test_every_track_is_listed_once_with_its_tags(tmp_path):
    folder = make_demo(tmp_path / "demo", 12, 1.0, workers=1)
    found = [
        source
        for split in ("train", "validation", "test")
        for source in read_jamendo(folder / f"demo-{split}.tsv", folder)
    ]
    assert len({source.path for source in found}) == 12
    for track, source in enumerate(sorted(found, key=lambda s: s.path)):
        assert source.tags == compose(0, track, 1.0).tags
        info = soundfile.info(source.path)
        assert (info.samplerate, info.channels, info.frames) == (16_000, 1, 16_000)


def test_an_interrupted_corpus_is_completed_and_a_complete_one_kept(tmp_path):
    folder = make_demo(tmp_path / "demo", 10, 1.0, workers=1)
    before = contents(folder)
    (folder / "demo.json").unlink()
    (folder / "audio" / "0004.flac").unlink()
    make_demo(folder, 10, 1.0, workers=1)
    assert contents(folder) == before
    stamps = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    make_demo(folder, 10, 1.0, workers=1)
    assert stamps == {p: p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_other_parameters_do_not_mix(tmp_path):
    folder = make_demo(tmp_path / "demo", 10, 1.0, workers=1)
    assert json.loads((folder / "demo.json").read_text())["tracks"] == 10
    with pytest.raises(SslAudioError, match="other parameters"):
        make_demo(folder, 11, 1.0)


def test_every_instrument_sounds_and_differs():
    spectra = {}
    for name, player in PLAYERS.items():
        sound = player(330.0, 0.5, np.random.default_rng(0))[:8000]
        assert np.isfinite(sound).all() and np.abs(sound).max() > 0.05, name
        spectrum = np.abs(np.fft.rfft(sound))
        spectra[name] = spectrum / np.linalg.norm(spectrum)
    names = sorted(spectra)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            assert spectra[first] @ spectra[second] < 0.995, (first, second)


def test_music_is_neither_silent_nor_clipped_and_covers_the_genres():
    songs = [compose(0, track, 3.0) for track in range(24)]
    for song in songs:
        assert 0.3 < np.abs(song.samples).max() < 0.95
        assert np.sqrt(np.mean(song.samples**2)) > 0.005
    genres = {tag for song in songs for tag in song.tags if tag.startswith("genre")}
    assert len(genres) > len(GENRES) // 2
