"""The kept features: what they are kept by, resuming, damage."""

import numpy as np
import pytest
import soundfile

from ssl_audio.io.errors import SslAudioError
from ssl_audio.probing import features as embeddings
from ssl_audio.probing.features import track_features


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(embeddings, "CHUNK", 4)


@pytest.fixture
def tracks(tmp_path):
    for index in range(10):
        noise = np.random.default_rng(index).normal(0, 0.1, 1000 * (1 + index))
        soundfile.write(tmp_path / f"{index}.wav", noise, 16_000, subtype="FLOAT")
    ids = [f"{index}.wav" for index in range(10)]
    return ids, [tmp_path / name for name in ids]


class Counting:
    """A feature of one number a thousand samples: their mean."""

    def __init__(self, scale=1.0):
        self.calls = 0
        self.scale = scale

    def __call__(self, blocks):
        self.calls += 1
        waveform = np.concatenate(list(blocks))
        return self.scale * waveform.reshape(-1, 1000).mean(1, keepdims=True)


def expected(paths):
    return np.array([[soundfile.read(p, dtype="float32")[0].mean()] for p in paths])


def test_means_are_kept_and_not_computed_twice(tracks, tmp_path):
    ids, paths = tracks
    first = Counting()
    found = track_features(first, "key", ids, paths, cache=tmp_path / "cache", workers=2)
    np.testing.assert_allclose(found.means, expected(paths), atol=1e-6)
    again = Counting()
    kept = track_features(again, "key", ids, paths, cache=tmp_path / "cache")
    assert (first.calls, again.calls) == (10, 0)
    np.testing.assert_array_equal(kept.means, found.means)


def test_other_weights_or_other_files_meet_no_old_features(tracks, tmp_path):
    ids, paths = tracks
    cache = tmp_path / "cache"
    track_features(Counting(), "key", ids, paths, cache=cache)
    other = Counting(2.0)
    found = track_features(other, "other key", ids, paths, cache=cache)
    assert other.calls == 10
    np.testing.assert_allclose(found.means, 2 * expected(paths), atol=1e-6)
    soundfile.write(paths[0], np.zeros(3000), 16_000, subtype="FLOAT")
    changed = Counting()
    track_features(changed, "key", ids, paths, cache=cache)
    assert changed.calls == 10


def test_a_run_that_was_cut_off_goes_on(tracks, tmp_path):
    ids, paths = tracks

    class CutOff(Counting):
        def __call__(self, blocks):
            if self.calls == 6:
                raise KeyboardInterrupt
            return super().__call__(blocks)

    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        track_features(CutOff(), "key", ids, paths, cache=cache, workers=1)
    rest = Counting()
    found = track_features(rest, "key", ids, paths, cache=cache, workers=1)
    assert rest.calls == 6
    np.testing.assert_allclose(found.means, expected(paths), atol=1e-6)
    assert not [p for p in cache.rglob("*") if p.name.startswith(".")]


@pytest.mark.parametrize("keep", [8, 300])
def test_a_damaged_part_is_computed_again(tracks, tmp_path, capsys, keep):
    ids, paths = tracks
    cache = tmp_path / "cache"
    track_features(Counting(), "key", ids, paths, cache=cache)
    part = sorted(cache.rglob("*.npz"))[1]
    part.write_bytes(part.read_bytes()[:keep])
    again = Counting()
    found = track_features(again, "key", ids, paths, cache=cache)
    assert again.calls == 4 and "damaged" in capsys.readouterr().err
    np.testing.assert_allclose(found.means, expected(paths), atol=1e-6)


def test_segments_are_mapped_and_lie_where_the_offsets_say(tracks, tmp_path):
    ids, paths = tracks
    for _ in range(2):
        found = track_features(
            Counting(), "key", ids, paths, keep_segments=True, cache=tmp_path / "cache"
        )
        assert isinstance(found.segments, np.memmap) and len(found.segments) == 55
        for track, path in enumerate(paths):
            rows = found.segments[found.offsets[track] : found.offsets[track + 1]]
            whole = soundfile.read(path, dtype="float32")[0]
            np.testing.assert_allclose(rows[:, 0], whole.reshape(-1, 1000).mean(1), atol=1e-6)


def test_unreadable_tracks_are_named_and_all_unreadable_is_an_error(tracks, tmp_path):
    ids, paths = tracks
    for path in paths[:4]:
        path.write_bytes(b"nothing of use")
    found = track_features(Counting(), "key", ids, paths, cache=tmp_path / "cache")
    assert list(found.unreadable) == ids[:4] and np.isnan(found.means[:4]).all()
    np.testing.assert_allclose(found.means[4:], expected(paths[4:]), atol=1e-6)
    with pytest.raises(SslAudioError, match="none of 4 tracks"):
        track_features(Counting(), "key", ids[:4], paths[:4], cache=tmp_path / "cache")
