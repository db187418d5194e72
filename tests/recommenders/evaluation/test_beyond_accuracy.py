"""Figures of lists beyond accuracy, by hand and by the definition of Gini."""

import numpy as np
import pytest

from ssl_audio.recommenders.evaluation.beyond_accuracy import list_figures


def test_figures_by_hand():
    lists = np.array([[0, 1, 2], [0, 3, -1]])
    counts, artists = np.array([7, 3, 1, 0, 9]), np.array([0, 0, 1, -1, 2])
    figures = list_figures(lists, np.arange(4), counts, artists)
    bits = -np.log2(np.array([8, 4, 2, 1]) / 10)
    np.testing.assert_allclose(figures["novelty"], [bits[:3].mean(), (bits[0] + bits[3]) / 2])
    np.testing.assert_allclose(figures["artist_diversity"], [2 / 3, 1])
    assert figures["coverage"].tolist() == [1]
    times = np.array([2, 1, 1, 1])
    expected = np.abs(times[:, None] - times).sum() / (2 * 4 * times.sum())
    np.testing.assert_allclose(figures["gini"], [expected])


@pytest.mark.parametrize(("lists", "gini"), [([[0], [1], [2], [3]], 0), ([[2]] * 4, 0.75)])
def test_gini_is_0_for_equal_shares_and_near_1_for_one_track(lists, gini):
    figures = list_figures(np.array(lists), np.arange(4), np.ones(4))
    assert figures["gini"][0] == pytest.approx(gini)
    assert "artist_diversity" not in figures
