"""The challenge's metrics: by hand, and against plain sets and loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.evaluation.challenge import challenge_figures

TRACKS, ARTISTS = 1500, 200


def made(playlists=40, length=500, seed=0):
    rng = np.random.default_rng(seed)
    ranked = np.stack([rng.permutation(TRACKS)[:length] for _ in range(playlists)])
    truth = playlists_of([rng.integers(0, TRACKS, rng.integers(1, 120)).tolist() for _ in ranked])
    artists = rng.integers(-1, ARTISTS, TRACKS)
    return ranked, truth, artists


def plainly(ranked, truth, artists=None):
    """One playlist's figures, after the organisers' definitions, with sets and loops."""
    listed, relevant = [t for t in ranked.tolist() if t >= 0], set(truth.tolist())
    first = listed[: len(relevant)]
    found = len(set(first) & relevant)
    credited = ()
    if artists is not None:
        shared = {artists[t] for t in first} & {artists[t] for t in relevant}
        credited = ((found + 0.25 * len(shared - {-1})) / len(relevant),)
    gain = sum(1 / math.log2(i + 2) for i, t in enumerate(listed) if t in relevant)
    best = sum(1 / math.log2(i + 2) for i in range(min(len(relevant), len(ranked))))
    hits = [i for i, t in enumerate(listed) if t in relevant]
    return found / len(relevant), gain / best, hits[0] // 10 if hits else 51, *credited


def test_figures_by_hand():
    ranked = np.arange(20).reshape(1, -1)
    truth = playlists_of([[1, 3, 12, 30]])
    artists = np.zeros(31, int)
    artists[:4] = [5, 6, 7, 8]  # 1 -> 6, 3 -> 8; 12 and 30 -> 0
    found = challenge_figures(ranked, truth)
    assert found["r_precision"][0] == 2 / 4
    assert found["clicks"][0] == 0
    best = 1 + 1 / math.log2(3) + 1 / 2 + 1 / math.log2(5)
    assert found["ndcg"][0] == pytest.approx(
        (1 / math.log2(3) + 1 / math.log2(5) + 1 / math.log2(14)) / best
    )
    assert list(found) == ["r_precision", "ndcg", "clicks"]
    credited = challenge_figures(ranked, truth, artists)
    assert credited["r_precision_artist"][0] == (2 + 0.25 * 2) / 4
    assert list(credited) == [*found, "r_precision_artist"]
    for name, values in found.items():
        np.testing.assert_array_equal(credited[name], values)


@pytest.mark.parametrize(("rank", "clicks"), [(1, 0), (10, 0), (11, 1), (500, 49), (None, 51)])
def test_clicks_are_pages_of_ten(rank, clicks):
    ranked = np.arange(1, 501).reshape(1, -1)
    truth = playlists_of([[rank or 900]])
    assert challenge_figures(ranked, truth)["clicks"].tolist() == [clicks]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 7, 60, 500]), st.booleans())
def test_figures_are_those_of_sets_and_loops(seed, length, with_artists):
    ranked, truth, artists = made(8, length, seed)
    ranked[::3, length // 2 :] = -1
    known = artists if with_artists else None
    found = challenge_figures(ranked, truth, known)
    expected = [plainly(ranked[k], truth[k], known) for k in range(len(truth))]
    np.testing.assert_allclose(np.transpose(list(found.values())), expected)
    assert (found["ndcg"] <= 1 + 1e-12).all() and (found["ndcg"] >= 0).all()


def test_the_best_list_has_the_best_figures():
    _, truth, artists = made()
    ranked = np.full((len(truth), 500), -1)
    for k in range(len(truth)):
        own = np.unique(truth[k])
        ranked[k, : len(own)] = own
    found = challenge_figures(ranked, truth)
    np.testing.assert_allclose(found["r_precision"], 1)
    np.testing.assert_allclose(found["ndcg"], 1)
    assert (found["clicks"] == 0).all()
    with_artists = challenge_figures(ranked, truth, artists)["r_precision_artist"]
    assert (with_artists <= 1.25).all() and with_artists.max() > 1


def test_artists_that_are_not_known_match_nobody():
    ranked, truth = np.array([[0, 1]]), playlists_of([[2, 3]])
    assert challenge_figures(ranked, truth, np.full(4, -1))["r_precision_artist"][0] == 0
    assert challenge_figures(ranked, truth, np.full(4, 9))["r_precision_artist"][0] == 0.25 / 2
