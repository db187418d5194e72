"""Statistics of playlists, against plain computations."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.data.statistics import gini, playlist_statistics


def test_statistics_of_a_few_playlists() -> None:
    lists = [[0, 1, 2, 0], [3, 3], [4], [5, 1, 2]]
    artists = ["A", "A", "B", "C", "C", "", "never"]
    found = playlist_statistics(playlists_of(lists), artists)
    assert (found.playlists, found.positions, found.tracks) == (4, 10, 6)
    assert found.mean_plays == pytest.approx(10 / 6) and found.median_plays == 2
    assert found.repeats == pytest.approx(2 / 10)
    assert found.same_artist == pytest.approx(2 / 5)  # 0 1, 3 3 of 0 1, 1 2, 2 0, 3 3, 1 2
    # A A B A: 3 pairs, half of the same artist; C C; A B
    assert found.shuffled == pytest.approx((3 * 0.5 + 1 + 0) / 5)
    assert found.lengths[1] == 2.5
    assert "2.5 (" in str(found) and "0.400 of adjacent tracks" in str(found)


def test_without_artists() -> None:
    found = playlist_statistics(playlists_of([[0, 1]]), ["", ""])
    assert found.same_artist is None and "no artists" in str(found)


def test_gini_is_the_mean_absolute_difference() -> None:
    counts = np.random.default_rng(0).integers(1, 50, 40)
    expected = np.abs(counts[:, None] - counts).mean() / (2 * counts.mean())
    assert gini(counts) == pytest.approx(expected)
    assert gini(np.full(5, 3)) == pytest.approx(0)


def test_the_exponent_of_zipf_s_law_is_recovered() -> None:
    weights = np.arange(1, 301) ** -0.8
    lists = [[k] * round(1e4 * w) for k, w in enumerate(weights)]
    found = playlist_statistics(playlists_of(lists), [""] * 300)
    assert found.zipf == pytest.approx(0.8, abs=0.01)
    counts = np.array([len(one) for one in lists])

    def minus_likelihood(s: float) -> float:
        p = np.arange(1.0, 301) ** -s
        return -(counts * np.log(p / p.sum())).sum()

    assert found.zipf == pytest.approx(minimize_scalar(minus_likelihood).x, abs=1e-3)
