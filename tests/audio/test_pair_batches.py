"""The order of a run's batches."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.audio.batches import PairBatchSampler, PairKey, Shares
from ssl_audio.audio.shares import track_shares
from ssl_audio.io.errors import SslAudioError


@given(
    batch=st.integers(1, 12),
    more=st.integers(0, 30),
    steps=st.integers(0, 40),
    seed=st.integers(0, 2**40),
    start=st.integers(0, 45),
    parts=st.sampled_from([1, 2, 3]),
)
@settings(max_examples=60, deadline=None)
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


def with_shares(n: int, draws: int, seed: int) -> Shares:
    """Random shares of tracks of two sources, each at most once a batch."""
    rng = np.random.default_rng(seed)
    sources = np.arange(n) % 2
    shares = track_shares(rng.exponential(100, n), sources, (1.0, 1.0), draws, 600.0)
    assert shares is not None
    return shares


@given(
    draws=st.integers(2, 8).map(lambda k: 2 * k), more=st.integers(0, 40), seed=st.integers(0, 999),
    pairs=st.integers(1, 3), kind=st.sampled_from(["equal", "shares", "groups"]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_every_kind_of_order(draws: int, more: int, seed: int, pairs: int, kind: str) -> None:
    n, steps, size = draws + more, 12, draws * pairs
    options: dict = {"pairs_per_track": pairs}
    groups = np.random.default_rng(seed).integers(0, 4, n)
    if kind == "shares":
        n += n % 2
        options["shares"] = with_shares(n, draws, seed)
    if kind == "groups":
        options |= {"groups": groups, "group_share": (seed % 5) / 4}
    sampler = PairBatchSampler(n, size, steps, seed, **options)
    whole = list(sampler)
    for step, keys in enumerate(whole):
        tracks = Counter(key.index for key in keys)
        assert len(keys) == size and set(tracks.values()) == {pairs}
        assert all(0 <= key.index < n and 0 <= key.part < pairs for key in keys)
        assert len(set(keys)) == size and all(
            key.epoch == step // sampler.batches_per_pass for key in keys
        )
    per_pass = sampler.batches_per_pass
    seen = [key for keys in whole[:per_pass] for key in keys]
    assert len(set(seen)) == len(seen)  # no pair twice
    if kind != "shares":
        assert max(Counter(key.index for key in seen).values()) == pairs
    assert list(PairBatchSampler(n, size, steps, seed, start_step=5, **options)) == whole[5:]
    halves = [list(PairBatchSampler(n, size, steps, seed, 0, r, 2, **options)) for r in (0, 1)]
    assert [a + b for a, b in zip(*halves, strict=True)] == whole
    assert sampler.batch(7) == whole[7] and sampler.batch(0) == whole[0]


def test_tracks_are_drawn_by_their_shares() -> None:
    n, draws, passes = 60, 10, 300
    shares = with_shares(n, draws, 0)
    sampler = PairBatchSampler(n, draws, 6 * passes, 1, shares=shares)
    counts, each_pass = np.zeros(n), Counter[int]()
    for step, keys in enumerate(sampler):
        assert sum(key.index % 2 for key in keys) == 5  # both sources, in every batch
        each_pass.update(key.index for key in keys)
        if step % 6 == 5:
            found = np.array([each_pass[k] for k in range(n)])
            assert np.abs(found - 60 * shares.tracks).max() < 1  # rounded up or down
            counts += found
            each_pass.clear()
    expected = passes * 60 * shares.tracks
    assert np.abs(counts - expected).max() < 5 * np.sqrt(passes / 4)


def test_draws_of_a_pass_are_numbered() -> None:
    shares = Shares(np.array([0.4, 0.4, 0.1, 0.1]), np.zeros(4, np.int64))
    keys = [key for keys in PairBatchSampler(4, 2, 2, 0, shares=shares) for key in keys]
    for track in (0, 1):
        assert sorted(k.draw for k in keys if k.index == track) in ([0], [0, 1])
    assert PairKey(0, 3) == PairKey(0, 3, 0, 0)


def test_shares_follow_durations_up_to_a_cap_and_weights_of_sources() -> None:
    durations, sources = np.array([30.0, 60.0, 6000.0, 90.0, 90.0]), np.array([0, 0, 0, 1, 1])
    assert track_shares(durations, sources, None, 2) is None
    by_length = track_shares(durations, sources, None, 2, 90.0)
    np.testing.assert_allclose(by_length.tracks, np.array([30, 60, 90, 90, 90]) / 360)
    weighted = track_shares(durations, sources, (3.0, 1.0), 2)
    np.testing.assert_allclose(weighted.tracks, [0.25, 0.25, 0.25, 0.125, 0.125])
    limited = track_shares(durations, sources, (3.0, 1.0), 2, 6000.0)  # at most once a batch
    np.testing.assert_allclose(limited.tracks, [1 / 12, 1 / 6, 0.5, 0.125, 0.125], rtol=1e-6)
    with pytest.raises(SslAudioError, match=r"data.sources\[1\] has 2 usable tracks, too few"):
        track_shares(durations, sources, (1.0, 2.0), 4)


def test_a_part_of_each_batch_is_of_one_group() -> None:
    groups = np.repeat(np.arange(8), 10)
    sampler = PairBatchSampler(80, 16, 50, 0, groups=groups, group_share=0.5)
    chosen = Counter[int]()
    for keys in sampler:
        [(group, count)] = Counter(groups[key.index] for key in keys).most_common(1)
        assert count >= 8
        chosen[group] += 1
    assert len(chosen) == 8  # every group gets its turn
