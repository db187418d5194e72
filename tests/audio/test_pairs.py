"""Where pairs are cut, what is read, and in which order."""

import pickle
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.utils.data import DataLoader

from ssl_audio.audio.pairs import (
    PairBatchSampler,
    PairDataset,
    PairKey,
    TrackTable,
    collate_pairs,
    draw_pair,
    draw_wrapped_pair,
    long_enough,
)
from ssl_audio.io.errors import SslAudioError

RATE = 16_000
SECONDS = st.floats(0.0, 30.0)


class Item(NamedTuple):
    path: str
    duration: float


@pytest.fixture(scope="module")
def ramps(tmp_path_factory: pytest.TempPathFactory) -> list[Item]:
    """Tracks of 9 to 15 s whose samples say which track and which second they are."""
    folder = tmp_path_factory.mktemp("ramps")
    items = []
    for k in range(12):
        seconds = 9.0 + k % 7
        ramp = np.arange(int(seconds * RATE), dtype=np.float32) / RATE / 100 + 0.2 * (k % 4)
        soundfile.write(folder / f"träck {k}.wav", ramp, RATE, subtype="FLOAT")
        items.append(Item(str(folder / f"träck {k}.wav"), seconds))
    return items


def second_of(segment: torch.Tensor, track: int) -> float:
    """Read off a ramp the second at which a segment starts."""
    return (float(segment[0]) - 0.2 * (track % 4)) * 100


@given(
    segment=st.floats(0.1, 10.0),
    low=SECONDS,
    spread=SECONDS,
    room=st.floats(0.0, 100.0),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=300, deadline=None)
def test_a_pair_is_inside_the_track_and_at_an_admissible_distance(
    segment: float, low: float, spread: float, room: float, seed: int
) -> None:
    duration = segment + low + room
    assume(duration - segment >= low)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        anchor, positive = draw_pair(duration, segment, low, low + spread, rng)
        for start in (anchor, positive):
            assert 0.0 <= start <= duration - segment
        assert low - 1e-9 <= abs(anchor - positive) <= low + spread + 1e-9


@pytest.mark.parametrize("duration", [8.0, 10.0, 13.0, 30.0, 200.0])
def test_pairs_are_distributed_as_by_rejection_sampling(duration: float) -> None:
    """Anchors: uniform, rejected when no positive fits. Positives: uniform, rejected likewise."""
    rng = np.random.default_rng(0)
    drawn = np.array([draw_pair(duration, 4.0, 4.0, 16.0, rng) for _ in range(6000)])
    last = duration - 4.0
    if last == 4.0:  # the two ends are all there is
        assert set(map(tuple, drawn)) == {(0.0, 4.0), (4.0, 0.0)}
        assert abs(np.mean(drawn[:, 0] == 0.0) - 0.5) < 0.03
        return
    anchors = rng.uniform(0, last, 20_000)
    anchors = anchors[(anchors >= 4.0) | (anchors <= last - 4.0)]
    offsets = np.full(len(anchors), np.nan)
    reach = min(16.0, last)
    for _ in range(2000):  # enough for all but anchors with next to no room
        missing = np.isnan(offsets)
        if not missing.any():
            break
        tried = rng.uniform(-reach, reach, missing.sum())
        place = anchors[missing] + tried
        fits = (np.abs(tried) >= 4.0) & (place >= 0) & (place <= last)
        offsets[missing] = np.where(fits, tried, np.nan)
    assert stats.ks_2samp(drawn[:, 0], anchors).pvalue > 1e-3
    assert np.isnan(offsets).mean() < 0.01
    offsets = offsets[~np.isnan(offsets)]
    assert stats.ks_2samp(drawn[:, 1] - drawn[:, 0], offsets).pvalue > 1e-3
    assert 0.4 < np.mean(drawn[:, 1] > drawn[:, 0]) < 0.6  # before and after


def test_equal_offsets_and_no_offset() -> None:
    rng = np.random.default_rng(1)
    signs = Counter(
        round(b - a, 6) for a, b in (draw_pair(60.0, 4.0, 5.0, 5.0, rng) for _ in range(200))
    )
    assert set(signs) == {5.0, -5.0}
    anchor, positive = draw_pair(60.0, 4.0, 0.0, 0.0, rng)
    assert anchor == positive


def test_too_short_a_track_is_refused() -> None:
    with pytest.raises(SslAudioError, match="8 s are required"):
        draw_pair(7.99, 4.0, 4.0, 16.0, np.random.default_rng(0))


@given(duration=st.floats(0.05, 8.0), seed=st.integers(0, 2**32))
def test_a_wrapped_pair_starts_inside(duration: float, seed: int) -> None:
    anchor, positive = draw_wrapped_pair(duration, 4.0, 16.0, np.random.default_rng(seed))
    assert 0 <= anchor < duration and 0 <= positive < duration


def test_table_gives_back_the_tracks(ramps: list[Item]) -> None:
    odd = Item("b\udcff.wav", 3.0)  # a name that is not UTF-8
    table = TrackTable([*ramps, odd])
    restored = pickle.loads(pickle.dumps(table))
    assert [(t.path, t.duration) for t in restored] == [*ramps, odd]
    assert restored[-1].path == odd.path and len(restored[2:5]) == 3
    with pytest.raises(IndexError):
        restored[len(ramps) + 1]
    many = TrackTable([Item(f"/music/{k // 100:04}/{k}.mp3", 200.0) for k in range(100_000)])
    assert len(pickle.dumps(many)) < 100_000 * 50


def test_segments_hold_the_seconds_that_were_drawn(ramps: list[Item]) -> None:
    dataset = PairDataset(ramps, seed=3)
    directions = set()
    for epoch in range(4):
        for index, track in enumerate(ramps):
            item = dataset[PairKey(epoch, index)]
            assert item["anchor"].shape == item["positive"].shape == (4 * RATE,)
            assert item["anchor"].dtype == torch.float32
            assert (item["index"], item["epoch"], item["failures"]) == (index, epoch, [])
            a, p = (second_of(item[name], index) for name in ("anchor", "positive"))
            assert 4.0 - 1e-3 <= abs(a - p) <= track.duration - 4.0 + 1e-3
            assert second_of(item["anchor"][-1:], index) - a == pytest.approx(4.0, abs=1e-3)
            directions.add(a < p)
    assert directions == {True, False}


def test_pairs_depend_on_seed_epoch_and_track(ramps: list[Item]) -> None:
    def starts(seed: int, epoch: int, index: int) -> float:
        return second_of(PairDataset(ramps, seed=seed)[PairKey(epoch, index)]["anchor"], index)

    assert starts(1, 2, 5) == starts(1, 2, 5)
    assert len({starts(1, 2, 5), starts(2, 2, 5), starts(1, 3, 5), starts(1, 2, 9)}) == 4


def test_short_tracks_are_dropped_with_a_count(ramps: list[Item]) -> None:
    short = [Item("short.wav", 7.99), Item("exact.wav", 8.0)]
    dataset = PairDataset([*short, *ramps])
    assert dataset.dropped == 1 and len(dataset) == len(ramps) + 1
    assert dataset.tracks[0].path == "exact.wav"
    assert [t.path for t in long_enough(short)] == ["exact.wav"]


def test_short_tracks_are_read_in_a_circle(tmp_path: Path) -> None:
    ramp = np.arange(3 * RATE, dtype=np.float32) / (3 * RATE)
    soundfile.write(tmp_path / "short.wav", ramp, RATE, subtype="FLOAT")
    dataset = PairDataset([Item(str(tmp_path / "short.wav"), 3.0)], short="wrap")
    assert dataset.dropped == 0
    distances = []
    for epoch in range(20):
        item = dataset[PairKey(epoch, 0)]
        starts = [round(float(item[name][0]) * 3 * RATE) for name in ("anchor", "positive")]
        for start, name in zip(starts, ("anchor", "positive"), strict=True):
            expected = np.roll(np.tile(ramp, 3), -start)[: 4 * RATE]
            np.testing.assert_array_equal(item[name].numpy(), expected)
        distances.append((starts[1] - starts[0]) % (3 * RATE))
    assert len(set(distances)) > 10


def test_an_unreadable_track_is_replaced_and_reported(ramps: list[Item], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(Path(ramps[0].path).read_bytes()[:2000])
    dataset = PairDataset([Item(str(damaged), 9.0), *ramps], seed=1)
    first, again = dataset[PairKey(0, 0)], dataset[PairKey(0, 0)]
    assert first["index"] == again["index"] != 0
    assert torch.equal(first["anchor"], again["anchor"])
    assert any(line.startswith(f"{damaged}: ") for line in first["failures"])
    assert dataset[PairKey(0, 1)]["failures"] == []


def test_only_unreadable_tracks_is_an_error(tmp_path: Path) -> None:
    dataset = PairDataset([Item(str(tmp_path / f"{k}.wav"), 30.0) for k in range(3)])
    with pytest.raises(SslAudioError, match="10 tracks in a row"):
        dataset[PairKey(0, 0)]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"segment": 0.0}, "segment"),
        ({"min_offset": 5.0, "max_offset": 4.0}, "offset"),
        ({"seed": -1}, "seed"),
        ({"short": "pad"}, "drop, wrap"),
    ],
)
def test_settings_that_make_no_sense(setting: dict, message: str) -> None:
    with pytest.raises(SslAudioError, match=message):
        PairDataset([], **setting)


@given(
    batch=st.integers(1, 12),
    more=st.integers(0, 30),
    steps=st.integers(0, 40),
    seed=st.integers(0, 2**40),
    start=st.integers(0, 45),
    parts=st.sampled_from([1, 2, 3]),
)
@settings(max_examples=200, deadline=None)
def test_order_of_the_batches(
    batch: int, more: int, steps: int, seed: int, start: int, parts: int
) -> None:
    size, n = batch * parts, batch * parts + more
    whole = list(PairBatchSampler(n, size, steps, seed))
    assert len(whole) == len(PairBatchSampler(n, size, steps, seed, start_step=start)) == steps
    per_pass = n // size
    for step, keys in enumerate(whole):
        assert len({key.index for key in keys}) == len(keys) == size
        assert all(key.epoch == step // per_pass and 0 <= key.index < n for key in keys)
    for first in range(0, steps - per_pass + 1, per_pass):  # no track twice in a pass
        seen = [key.index for keys in whole[first : first + per_pass] for key in keys]
        assert len(set(seen)) == len(seen)
    assert list(PairBatchSampler(n, size, steps, seed, start_step=start)) == whole[start:]
    shares = [list(PairBatchSampler(n, size, steps, seed, 0, r, parts)) for r in range(parts)]
    joined = [
        [key for part in same_step for key in part] for same_step in zip(*shares, strict=True)
    ]
    assert joined == whole


def test_batches_do_not_depend_on_call_order_and_differ_by_pass_and_seed() -> None:
    sampler = PairBatchSampler(100, 10, 1000, seed=5)
    expected = dict(enumerate(sampler))
    for step in (999, 0, 512, 11, 10):
        assert sampler.batch(step) == expected[step]
    indexes = [[key.index for key in sampler.batch(step)] for step in (0, 10)]
    assert indexes[0] != indexes[1]
    assert PairBatchSampler(100, 10, 1000, seed=6).batch(0) != sampler.batch(0)
    seen = Counter(key.index for keys in expected.values() for key in keys)
    assert set(seen.values()) == {100}


def test_errors_of_batches_name_the_setting_to_change() -> None:
    with pytest.raises(SslAudioError, match="lower data.batch_size to 5"):
        PairBatchSampler(5, 6, 10, 0)
    with pytest.raises(SslAudioError, match="multiple of their number, 3"):
        PairBatchSampler(50, 8, 10, 0, world_size=3)
    with pytest.raises(SslAudioError, match="long enough"):
        PairBatchSampler(0, 8, 10, 0)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_the_same_pairs_whatever_the_workers(ramps: list[Item], context: str) -> None:
    def batches(workers: int) -> list[dict]:
        loader = DataLoader(
            PairDataset(ramps, segment=1.0, seed=2),
            batch_sampler=PairBatchSampler(len(ramps), 6, 4, seed=2),
            collate_fn=collate_pairs,
            num_workers=workers,
            multiprocessing_context=context if workers else None,
        )
        return list(loader)

    expected = batches(0)
    assert expected[0]["anchor"].shape == (6, RATE) and expected[0]["index"].shape == (6,)
    assert expected[2]["epoch"].tolist() == [1] * 6
    for workers in (1, 2) if context == "fork" else (1,):
        for got, want in zip(batches(workers), expected, strict=True):
            for name in ("anchor", "positive", "index", "epoch"):
                assert torch.equal(got[name], want[name])
            assert got["failures"] == want["failures"] == []


def test_recordings_and_scores(shared: Path) -> None:
    paths = sorted((shared / "audio").rglob("*.ogg"))[::20]
    items = [Item(str(path), soundfile.info(path).duration) for path in paths]
    dataset = PairDataset(items)
    assert len(dataset) >= 4
    batch = collate_pairs([dataset[PairKey(0, index)] for index in range(len(dataset))])
    assert batch["anchor"].shape == batch["positive"].shape == (len(dataset), 4 * RATE)
    assert batch["failures"] == []
    assert torch.isfinite(batch["anchor"]).all() and batch["anchor"].abs().amax(1).gt(1e-4).any()
    assert not torch.equal(batch["anchor"], batch["positive"])
