"""The order of a run's batches."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.audio.batches import PairBatchSampler
from ssl_audio.io.errors import SslAudioError


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
