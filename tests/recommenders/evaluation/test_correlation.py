"""Correlation of co-occurrence and similarity, against loops over all pairs."""

import itertools

import numpy as np
import pytest

from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.evaluation.correlation import (
    MAX_DRAWN,
    MAX_PAIRS,
    _pairs,
    co_occurrence_by_similarity,
)

LISTS = [[0, 1, 2, 1, 0], [1, 2, 3], [4, 5], [0, 2, 2, 2], [5, 4, 3, 0], [1]]
TRACKS = 8  # the last two are in no playlist


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(TRACKS, 3)).astype(np.float32)


def by_loops(lists, features, tracks):
    """(similarity, % of the playlists that hold both) of every pair."""
    pairs = []
    for a, b in itertools.combinations(tracks, 2):
        both = sum(a in one and b in one for one in lists)
        similar = sum(float(x) * float(y) for x, y in zip(features[a], features[b], strict=True))
        pairs.append((similar, 100 * both / len(lists)))
    return np.array(pairs)


def in_order(pairs):
    return pairs[np.argsort(pairs[:, 0])]


def test_against_loops_over_all_pairs(features):
    found = co_occurrence_by_similarity(playlists_of(LISTS), features, np.ones(TRACKS, bool))
    pairs = by_loops(LISTS, features, range(6))
    drawn = np.stack([found.similarity, found.co_occurrence], 1)
    np.testing.assert_allclose(in_order(drawn), in_order(pairs), rtol=1e-5)
    x, y = pairs[:, 0] - pairs[:, 0].mean(), pairs[:, 1] - pairs[:, 1].mean()
    expected = (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())
    assert found.r == pytest.approx(expected) and found.pairs == 15


@pytest.mark.parametrize("tracks", [4, 5, 6, 9, 10])
def test_few_tracks_give_every_pair_once(tracks):
    left, right = _pairs(tracks, seed=0)
    pairs = {(min(p), max(p)) for p in zip(left.tolist(), right.tolist(), strict=True)}
    assert pairs == set(itertools.combinations(range(tracks), 2)) and len(left) == len(pairs)


@pytest.mark.parametrize("tracks", [400, 401, 2_000_000])
def test_many_tracks_give_a_sample_without_repeats(tracks):
    left, right = _pairs(tracks, seed=0)
    low, high = np.minimum(left, right), np.maximum(left, right)
    assert len(np.unique(low * tracks + high)) == MAX_PAIRS and (low < high).all()
    counts, _ = np.histogram(np.concatenate([left, right]), bins=10, range=(0, tracks))
    assert np.abs(counts / counts.mean() - 1).max() < 0.1  # no part of the catalogue is favoured
    distance = (high - low) / tracks  # of two places at random it is triangular, with mean 1/3
    assert distance.mean() == pytest.approx(1 / 3, abs=0.01)


def test_the_picture_has_some_of_the_pairs_and_the_figure_all():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 4))
    playlists = playlists_of([rng.choice(100, 10).tolist() for _ in range(50)])
    found = co_occurrence_by_similarity(playlists, features, np.ones(100, bool))
    assert len(found.similarity) == len(found.co_occurrence) == MAX_DRAWN
    pairs = by_loops([set(playlists[k].tolist()) for k in range(50)], features,
                     sorted(set(playlists.tracks.tolist())))  # fmt: skip
    assert found.pairs == len(pairs) > MAX_DRAWN
    assert found.r == pytest.approx(np.corrcoef(pairs.T)[0, 1])


def test_a_track_twice_in_a_playlist_is_in_it_once(features):
    present = np.ones(TRACKS, bool)
    once = [sorted(set(one)) for one in LISTS]
    assert co_occurrence_by_similarity(
        playlists_of(LISTS), features, present
    ) == co_occurrence_by_similarity(playlists_of(once), features, present)


def test_only_tracks_with_features_are_compared(features):
    present = np.array([1, 1, 0, 1, 1, 0, 1, 1], bool)
    features[~present] = np.nan
    found = co_occurrence_by_similarity(playlists_of(LISTS), features, present)
    pairs = by_loops(LISTS, features, [0, 1, 3, 4])
    assert found.r == pytest.approx(np.corrcoef(pairs.T)[0, 1], rel=1e-5)
    assert set(np.round(found.co_occurrence, 6)) == set(np.round(pairs[:, 1], 6))


def test_similar_tracks_of_one_playlist_correlate():
    rng = np.random.default_rng(1)
    lists = [list(rng.choice(20, size=8, replace=False) + 20 * (k % 2)) for k in range(60)]
    alike = np.repeat(np.eye(2), 20, axis=0) + 0.1 * rng.normal(size=(40, 2))
    found = co_occurrence_by_similarity(playlists_of(lists), alike, np.ones(40, bool))
    assert found.r > 0.8
    opposite = np.repeat(np.arange(40)[:, None] % 2 * 2 - 1, 2, axis=1) + 0.0
    unrelated = co_occurrence_by_similarity(playlists_of(lists), opposite, np.ones(40, bool))
    assert abs(unrelated.r) < 0.1


def test_the_interval_is_fishers(features):
    found = co_occurrence_by_similarity(playlists_of(LISTS), features, np.ones(TRACKS, bool))
    z = 0.5 * np.log((1 + found.r) / (1 - found.r))
    for key, side in (("low", -1), ("high", 1)):
        edge = z + side * 1.959964 / np.sqrt(15 - 3)
        assert getattr(found, key) == pytest.approx((np.exp(2 * edge) - 1) / (np.exp(2 * edge) + 1))
    assert found.low < found.r < found.high


def test_a_perfect_correlation_has_an_interval():
    """Two pairs together and alike, four neither: r is 1, whose z is infinite."""
    features = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    found = co_occurrence_by_similarity(playlists_of([[0, 1], [2, 3]]), features, np.ones(4, bool))
    assert found.r == pytest.approx(1) and 0.999 < found.low <= found.high <= 1


def test_the_same_seed_draws_the_same_pairs(features):
    playlists, present = playlists_of(LISTS), np.ones(TRACKS, bool)
    first = co_occurrence_by_similarity(playlists, features, present, seed=1)
    assert first == co_occurrence_by_similarity(playlists, features, present, seed=1)
    assert first != co_occurrence_by_similarity(playlists, features, present, seed=2)


@pytest.mark.parametrize(("lists", "present"), [
    ([[0, 1]], [1, 0, 0, 0]),  # one track
    ([[0, 1]], [0, 0, 1, 1]),  # none that is in a playlist
    ([], [1, 1, 1, 1]),
    ([[0, 1, 2, 3]], [1, 1, 1, 1]),  # all together
    ([[0], [1], [2]], [1, 1, 1, 1]),  # none together
    ([[0, 1], [1, 2]], [1, 1, 0, 0]),  # one pair
])  # fmt: skip
def test_nothing_to_correlate_is_none(lists, present):
    features = np.random.default_rng(0).normal(size=(4, 3))
    assert (
        co_occurrence_by_similarity(playlists_of(lists), features, np.array(present, bool)) is None
    )


def test_constant_similarity_is_none():
    features = np.ones((4, 3), np.float32)
    assert co_occurrence_by_similarity(playlists_of(LISTS[:1]), features, np.ones(4, bool)) is None


def test_three_tracks_are_three_pairs_which_is_too_few():
    """Of three pairs Fisher's z has no interval."""
    features = np.random.default_rng(0).normal(size=(3, 2))
    playlists = playlists_of([[0, 1], [1, 2], [0, 1, 2]])
    assert co_occurrence_by_similarity(playlists, features, np.ones(3, bool)) is None
