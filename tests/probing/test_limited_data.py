import numpy as np
import pytest

from ssl_audio.probing.limited_data import few_shot_subsets, fraction_subsets


def test_fractions_are_nested_of_the_right_size_and_differ_by_seed():
    found = fraction_subsets(1000)
    assert [len(s.rows) for s in found] == [10, 50, 100, 200] * 4
    for small, large in zip(found[:3], found[1:4], strict=True):
        assert set(small.rows) < set(large.rows)
    assert len({tuple(s.rows) for s in found}) == 16
    with pytest.raises(ValueError, match="fraction"):
        fraction_subsets(20, [0.01])


def test_every_tag_gets_its_positives():
    y = (np.random.default_rng(0).random((400, 4)) < [0.1, 0.3, 0.5, 0.7]).astype(np.uint8)
    y[:, 2] = 0
    y[:3, 2] = 1
    for subset in few_shot_subsets(y, shots=(1, 5)):
        have = y[subset.rows].sum(0)
        assert (have >= np.minimum(subset.shots, y.sum(0))).all()
        assert have[2] <= 3 and len(subset.rows) <= 4 * subset.shots
