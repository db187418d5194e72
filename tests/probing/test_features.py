"""The cache of features: its keys, resuming, damage."""

import threading

import numpy as np
import pytest
import soundfile

from ssl_audio.io.errors import SslAudioError
from ssl_audio.probing import features
from ssl_audio.probing.features import track_features
from ssl_audio.stores.writer import Store


@pytest.fixture(autouse=True)
def small_groups(monkeypatch):
    monkeypatch.setattr(features, "ROW_GROUP", 4)


@pytest.fixture
def tracks(tmp_path):
    for index in range(10):
        noise = np.random.default_rng(index).normal(0, 0.1, 1000 * (1 + index))
        soundfile.write(tmp_path / f"{index}.wav", noise, 16_000, subtype="FLOAT")
    ids = [f"{index}.wav" for index in range(10)]
    return ids, [tmp_path / name for name in ids]


class Counting:
    """The mean of every thousand samples."""

    name, kind, source, sample_rate = "counting", "features", "here", 16_000

    def __init__(self, key="key", scale=1.0):
        self.key, self.scale, self.calls = key, scale, 0

    def features(self, blocks):
        self.calls += 1
        waveform = np.concatenate(list(blocks))
        return self.scale * waveform.reshape(-1, 1000).mean(1, keepdims=True)


class Interrupted(Counting):
    """Interrupted at its seventh track."""

    def features(self, blocks):
        if self.calls == 6:
            raise KeyboardInterrupt
        return super().features(blocks)


def expected(paths):
    return np.array([[soundfile.read(p, dtype="float32")[0].mean()] for p in paths])


def test_means_are_cached(tracks, tmp_path):
    ids, paths = tracks
    first, again = Counting(), Counting()
    found = track_features(first, ids, paths, cache=tmp_path / "cache", workers=2)
    np.testing.assert_allclose(found.means, expected(paths), atol=1e-6)
    cached = track_features(again, ids, paths, cache=tmp_path / "cache")
    assert (first.calls, again.calls) == (10, 0)
    np.testing.assert_array_equal(cached.means, found.means)


def test_other_weights_or_other_files_are_computed_anew(tracks, tmp_path):
    ids, paths = tracks
    cache = tmp_path / "cache"
    track_features(Counting(), ids, paths, cache=cache)
    other = Counting("other key", 2.0)
    found = track_features(other, ids, paths, cache=cache)
    assert other.calls == 10
    np.testing.assert_allclose(found.means, 2 * expected(paths), atol=1e-6)
    soundfile.write(paths[0], np.zeros(3000), 16_000, subtype="FLOAT")
    changed = Counting()
    track_features(changed, ids, paths, cache=cache)
    assert changed.calls == 10


def test_an_interrupted_run_is_resumed(tracks, tmp_path):
    ids, paths = tracks
    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        track_features(Interrupted(), ids, paths, cache=cache, workers=1)
    rest = Counting()
    found = track_features(rest, ids, paths, cache=cache, workers=1)
    assert rest.calls <= 6
    np.testing.assert_allclose(found.means, expected(paths), atol=1e-6)
    assert [path.suffix for path in cache.iterdir()] == [".parquet"]


def test_a_damaged_part_is_computed_again(tracks, tmp_path, capsys):
    ids, paths = tracks
    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        track_features(Interrupted(), ids, paths, cache=cache, workers=1)
    part = sorted(cache.rglob("part-*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:100])
    again = Counting()
    found = track_features(again, ids, paths, cache=cache, workers=1)
    assert again.calls >= 8 and "damaged" in capsys.readouterr().err
    np.testing.assert_allclose(found.means, expected(paths), atol=1e-6)


@pytest.mark.parametrize("kept", [8, 300])
@pytest.mark.parametrize("name", ["part-*.parquet", "_manifest.json"])
def test_a_damaged_cache_is_rebuilt(tracks, tmp_path, capsys, name, kept):
    ids, paths = tracks
    cache = tmp_path / "cache"
    track_features(Counting(), ids, paths, cache=cache)
    for damaged in list(cache.glob(f"*/{name}")):
        damaged.write_bytes(damaged.read_bytes()[: min(kept, damaged.stat().st_size - 1)])
    again = Counting()
    found = track_features(again, ids, paths, cache=cache)
    assert again.calls == 10 and "damaged" in capsys.readouterr().err
    np.testing.assert_allclose(found.means, expected(paths), atol=1e-6)


@pytest.mark.parametrize("interrupted", [False, True])
def test_segments_are_mapped_from_disk(tracks, tmp_path, interrupted):
    ids, paths = tracks
    options = {"keep_segments": True, "cache": tmp_path / "cache", "workers": 1}
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            track_features(Interrupted(), ids[::-1], paths[::-1], **options)
    for _ in range(2):
        found = track_features(Counting(), ids, paths, **options)
        assert isinstance(found.segments, np.memmap) and len(found.segments) == 55
        for path, start, end in zip(paths, found.starts, found.ends, strict=True):
            whole = soundfile.read(path, dtype="float32")[0].reshape(-1, 1000)
            np.testing.assert_allclose(found.segments[start:end, 0], whole.mean(1), atol=1e-6)


@pytest.mark.parametrize("damage", ["flipped", "cut", "text"])
def test_damaged_segments_are_noticed(tracks, tmp_path, capsys, damage):
    ids, paths = tracks
    options = {"keep_segments": True, "cache": tmp_path / "cache", "workers": 1}
    before = np.array(track_features(Counting(), ids, paths, **options).segments)
    [mapped] = (tmp_path / "cache").glob("*.npy")
    content = bytearray(mapped.read_bytes())
    content[-9] ^= 0x40  # a high bit of an exponent
    other = {"flipped": content, "cut": content[:-40], "text": b"no array"}
    mapped.write_bytes(other[damage])
    found = track_features(Counting(), ids, paths, **options)
    np.testing.assert_array_equal(found.segments, before)
    assert "is damaged: it is made again" in capsys.readouterr().err
    track_features(Counting(), ids, paths, **options)
    assert capsys.readouterr().err == ""


def test_unreadable_tracks_are_counted_and_tried_again(tracks, tmp_path, capsys):
    ids, paths = tracks
    good = [path.read_bytes() for path in paths[:4]]
    for path, content in zip(paths, good, strict=False):
        path.write_bytes(bytes(len(content)))
    found = track_features(Counting(), ids, paths, cache=tmp_path / "cache")
    assert np.isnan(found.means[:4]).all()
    assert "4 tracks cannot be read" in (err := capsys.readouterr().err) and "0.wav" in err
    np.testing.assert_allclose(found.means[4:], expected(paths[4:]), atol=1e-6)
    with pytest.raises(SslAudioError, match="none of 4 tracks"):
        track_features(Counting(), ids[:4], paths[:4], cache=tmp_path / "cache")
    for path, content in zip(paths, good, strict=False):
        path.write_bytes(content)
    again = Counting()
    found = track_features(again, ids, paths, cache=tmp_path / "cache")
    assert again.calls == 4 and "cannot be read" not in capsys.readouterr().err
    np.testing.assert_allclose(found.means, expected(paths), atol=1e-6)


def test_a_second_process_waits_for_the_first(tracks, tmp_path, capsys):
    ids, paths = tracks
    encoder = Counting()
    path = features._store_path(tmp_path, encoder.key, ids, paths, False)
    about = {"kind": "features", "encoder": encoder.key}
    with Store(path, about, group=4) as first:  # holds the lock
        found = []
        job = threading.Thread(
            target=lambda: found.append(track_features(encoder, ids, paths, cache=tmp_path))
        )
        job.start()
        while "waiting for another process" not in capsys.readouterr().err:
            job.join(0.05)
            assert job.is_alive()
        first.flush()
    job.join(30)
    np.testing.assert_allclose(found[0].means, expected(paths), atol=1e-6)
