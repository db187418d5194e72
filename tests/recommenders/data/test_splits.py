"""Held-out playlists and tracks depend on their ids and the seed alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.recommenders.data.splits import FRACTIONS, cold_tracks, splits_of

IDS = [f"{k:02d}/track-{k}.mp3" for k in range(4000)]


def test_the_expected_share_is_cold():
    assert cold_tracks(IDS, 0.1).mean() == pytest.approx(0.1, abs=0.02)
    assert not cold_tracks(IDS, 0.0).any() and cold_tracks(IDS, 1.0).all()


def test_the_choice_of_a_track_does_not_depend_on_others():
    whole = cold_tracks(IDS, 0.2, seed=3)
    assert np.array_equal(cold_tracks(IDS[::-1], 0.2, seed=3), whole[::-1])
    assert np.array_equal(cold_tracks(IDS[:50], 0.2, seed=3), whole[:50])


def test_a_larger_share_includes_the_smaller():
    assert (cold_tracks(IDS, 0.3) >= cold_tracks(IDS, 0.1)).all()


def test_another_seed_gives_others():
    assert (cold_tracks(IDS, 0.5, seed=1) != cold_tracks(IDS, 0.5, seed=2)).any()


names = st.lists(st.text(st.characters(codec="utf-8")), unique=True, max_size=40)


@settings(max_examples=30, deadline=None)
@given(names, st.integers(-5, 2**40), st.data())
def test_a_split_depends_on_the_id_alone(ids, seed, data):
    split = dict(zip(ids, splits_of(ids, seed).tolist(), strict=True))
    others = data.draw(st.permutations(ids))[: data.draw(st.integers(0, len(ids)))]
    assert splits_of(others, seed).tolist() == [split[name] for name in others]
    assert set(split.values()) <= {0, 1, 2}


def test_splits_have_their_fractions():
    count = 20_000
    found = np.bincount(splits_of([str(k) for k in range(count)], 1), minlength=3)
    for share, n in zip(FRACTIONS, found, strict=True):
        assert abs(n - share * count) <= 4.5 * np.sqrt(share * (1 - share) * count)


@pytest.mark.parametrize(
    ("seed", "expected"),
    [(0, "000200000010000200000210010200010020002000000000100200020000"),
     (1, "000000200210012011000120010000000000000200200020001000020001")],
)  # fmt: skip
def test_splits_never_change(seed, expected):
    """Another hash would move test playlists into the training part."""
    found = "".join(map(str, splits_of([str(k) for k in range(60)], seed)))
    assert found == expected
