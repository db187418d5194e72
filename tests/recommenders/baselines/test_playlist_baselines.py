"""Baselines on planted groups, and their formulas against NumPy and autograd in float64."""

import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ssl_audio.recommenders.baselines.item_cf import ItemCF, cosine, item_similarity
from ssl_audio.recommenders.baselines.line import _Edges, line_vectors
from ssl_audio.recommenders.baselines.matrix_factorisation import (
    rank_weight,
    warp_epoch,
    warp_factors,
    warp_update,
)
from ssl_audio.recommenders.baselines.node2vec import Node2Vec, node2vec_vectors
from ssl_audio.recommenders.baselines.track2vec import MAX_LENGTH, track2vec
from ssl_audio.recommenders.data.collection import Playlists, playlists_of
from ssl_audio.recommenders.data.graph import TrackGraph, build_graph
from ssl_audio.settings.baselines import WarpSettings, Word2VecSettings
from ssl_audio.settings.recommend import RecommendSettings

GROUPS, SIZE = 4, 15
TRACKS = GROUPS * SIZE + 2  # the last two are in no playlist


def planted(count: int = 200, stray: float = 0.1, seed: int = 0) -> Playlists:
    """Playlists of 12 tracks of one group, some of them strayed in from anywhere."""
    rng = np.random.default_rng(seed)
    group = rng.integers(GROUPS, size=(count, 1))
    own = rng.permuted(np.tile(np.arange(SIZE), (count, 1)), axis=1)[:, :12] + group * SIZE
    anywhere = rng.integers(GROUPS * SIZE, size=own.shape)
    return playlists_of(np.where(rng.random(own.shape) < stray, anywhere, own).tolist())


def planted_graph() -> TrackGraph:
    """Counts of common playlists of the planted tracks."""
    held = np.zeros((200, TRACKS), np.int32)
    playlists = planted()
    held[playlists.owners, playlists.tracks] = 1
    together = np.triu(held.T @ held, 1)
    pairs = np.argwhere(together)
    return TrackGraph.from_edges(np.repeat(pairs, together[tuple(pairs.T)], axis=0), TRACKS)


def margin(vectors: np.ndarray) -> float:
    """Mean cosine of two tracks of a group above that of tracks of two groups."""
    vectors = vectors[: GROUPS * SIZE].astype(np.float64)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    group = np.arange(GROUPS * SIZE) // SIZE
    same = group[:, None] == group
    cosines = unit @ unit.T
    return cosines[same & ~np.eye(len(unit), dtype=bool)].mean() - cosines[~same].mean()


def warp(seed: int) -> np.ndarray:
    settings = WarpSettings(dimensions=16, epochs=20)
    return warp_factors(planted(), TRACKS, settings, seed)[1][:, :-1]


def skip(seed: int) -> np.ndarray:
    settings = Word2VecSettings(dimensions=16, epochs=15)
    return track2vec(planted(), TRACKS, settings, seed)[0]


def walked(seed: int) -> np.ndarray:
    given = Word2VecSettings(dimensions=16, epochs=2)
    return node2vec_vectors(planted_graph(), 0.5, 20, given, seed)[0]


def deep_walk(seed: int) -> np.ndarray:
    given = Word2VecSettings(dimensions=16, epochs=2)
    return node2vec_vectors(planted_graph(), 1, 20, given, seed)[0]


def line(seed: int) -> np.ndarray:
    given = Word2VecSettings(dimensions=16, window=1, epochs=1, learning_rate=0.1)
    return line_vectors(planted_graph(), 3000, given, seed)


ALL = [warp, skip, walked, deep_walk, line]


@pytest.mark.parametrize("baseline", ALL)
def test_tracks_of_a_group_are_near_and_others_are_zero(baseline):
    vectors = baseline(seed=1)
    assert vectors.shape == (TRACKS, 16) and vectors.dtype == np.float32
    assert margin(vectors) > 0.4
    assert not vectors[-2:].any()
    assert (np.linalg.norm(vectors[:-2], axis=1) > 0).all()
    np.testing.assert_array_equal(vectors, baseline(seed=1))
    assert (vectors != baseline(seed=2)).any()


# WARP


def test_the_rank_weight_is_the_logarithm_of_the_estimated_rank():
    assert rank_weight(1, 101) == pytest.approx(math.log(100))
    assert rank_weight(3, 101) == pytest.approx(math.log(33))
    assert rank_weight(100, 101) == rank_weight(500, 101) == 0
    assert rank_weight(1, 10**6) == 10


def test_a_warp_step_is_adagrad_on_the_weighted_hinge():
    rng = np.random.default_rng(0)
    left, better, worse = rng.normal(size=(3, 9))
    left[-1] = 1
    squares = 1 + rng.random((3, 9))
    leaves = [torch.tensor(v, requires_grad=True) for v in (left, better, worse)]
    loss = 2.5 * (1 - leaves[0] @ leaves[1] + leaves[0] @ leaves[2])
    loss.backward()
    slopes = [leaf.grad.numpy() for leaf in leaves]
    slopes[0][-1] = 0  # the place of the biases is held
    expected = [
        v - 0.05 * g / np.sqrt(s)
        for v, g, s in zip((left, better, worse), slopes, squares, strict=True)
    ]
    sums = squares + np.square(slopes)
    warp_update(left, better, worse, *squares, 2.5, 0.05)
    np.testing.assert_allclose([left, better, worse], expected, rtol=1e-12)
    np.testing.assert_allclose(squares, sums, rtol=1e-12)


def test_only_violations_by_tracks_that_the_playlist_lacks_change_anything():
    """Track 0 is held; 1, held too, scores above it; 2 scores 1 or more below."""
    owners, positives = np.zeros(2, np.int32), np.array([0, 1], np.int32)
    right = np.array([[2.0, 0.0], [2.5, 0.0], [0.9, 0.0]])
    left = np.array([[1.0, 1.0]])
    drawn = np.tile(np.arange(3), 100)  # as if of many, so that a late trial has a weight

    def changed(third: float, seed: int) -> bool:
        right[2, 0] = third
        now, squares = right.copy(), (np.ones_like(left), np.ones_like(right))
        warp_epoch(
            owners, positives, np.array([0, 2]), drawn, np.array([0]), left.copy(), now,
            *squares, 0.1, 50, np.random.default_rng(seed),
        )  # fmt: skip
        return bool((now != right).any())

    assert not any(changed(0.9, seed) for seed in range(10))
    assert all(changed(1.1, seed) for seed in range(10))


def test_warp_biases_follow_popularity_and_playlists_rank_their_own_group():
    rng = np.random.default_rng(0)
    lists = [np.flatnonzero(rng.random(30) < np.linspace(0.9, 0.05, 30)) for _ in range(300)]
    biases = warp_factors(playlists_of(lists), 30, WarpSettings(dimensions=8))[1][:, -1]
    assert biases[:5].min() > biases[-5:].max()
    playlists, tracks = warp_factors(planted(), TRACKS, WarpSettings(dimensions=16, epochs=20))
    scores = playlists @ tracks.T
    best = np.argsort(-scores[:, :-2], axis=1)[:, :10] // SIZE
    own = np.array([np.bincount(planted()[k] // SIZE).argmax() for k in range(200)])
    assert (best == own[:, None]).mean() > 0.9


def test_warp_counts_a_track_once_in_a_playlist():
    lists = [[0, 1, 2], [3, 4], [2, 4, 5]]
    doubled = [one[::-1] + one for one in lists]
    few = WarpSettings(dimensions=4, epochs=2)
    a, b = (warp_factors(playlists_of(x), 6, few)[1] for x in (lists, doubled))
    np.testing.assert_array_equal(a, b)


# Track2Vec and Node2Vec


HASHED = """
import numpy as np
from ssl_audio.recommenders.baselines.word2vec import word2vec
from ssl_audio.settings.baselines import Word2VecSettings
lists = [np.array([k, (k * 7) % 20, (k + 3) % 20]) for k in range(20)]
counts = np.bincount(np.concatenate(lists), minlength=20)
made = word2vec(lists, counts, Word2VecSettings(dimensions=4), 3).tobytes().hex()
print(made, hash("a track"))
"""


def test_vectors_do_not_depend_on_how_strings_are_hashed():
    here: dict = {}
    exec(HASHED, here)
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    made, hashed = subprocess.run(
        [sys.executable, "-c", HASHED], env={**os.environ, "PYTHONHASHSEED": seed},
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert int(hashed) != hash("a track")
    assert made == here["made"] and len(made) == 2 * 20 * 4 * 8


def test_positions_beyond_what_gensim_reads_are_learnt_from():
    """The second half of a list of 24,000 positions holds tracks that only it has."""
    rng = np.random.default_rng(0)
    one = np.concatenate([rng.integers(0, 10, 12_000), rng.integers(10, 20, 12_000)])
    assert len(one) > 2 * MAX_LENGTH
    at_first = track2vec(playlists_of([one]), 20, Word2VecSettings(dimensions=8, epochs=1))
    learnt = track2vec(playlists_of([one]), 20, Word2VecSettings(dimensions=8, epochs=2))
    assert (np.abs(learnt - at_first).max(axis=2) > 1e-3).all()


def test_products_of_deepwalks_vectors_are_the_logarithms_that_it_factorises():
    """With window T, shrunk at random, noise P(j) of degree^.75 and k negatives

        v_i . v'_j = log(sum over r = 1 to T of (T + 1 - r) S^r_ij / (1 + ... + T)) - log(k P(j)),

    S the steps' chances (Qiu et al. 2018, "Network embedding as matrix factorization", theorem
    2.2).
    """
    graph, nodes = planted_graph(), GROUPS * SIZE
    given = Word2VecSettings(dimensions=32, window=2, epochs=5)
    inputs, outputs = node2vec_vectors(graph, 1, 40, given)
    weights = np.zeros((nodes, nodes))
    left, right, values = graph.upper()
    weights[left, right] = weights[right, left] = values
    degree = weights.sum(1)
    steps, noise = weights / degree[:, None], degree**0.75 / (degree**0.75).sum()
    expected = np.log((2 * steps + steps @ steps) / 3 / (5 * noise))
    found = inputs[:nodes] @ outputs[:nodes].T
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.95
    assert np.sqrt(np.square(found - expected).mean()) < 0.3 * expected.std()


def test_node2vec_ranks_frequent_tracks_of_the_historys_group_first(tmp_path):
    """Tracks of a group are in playlists by 1 / rank, so that its last ones have few neighbours."""
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, SIZE + 1)
    lists = [group * SIZE + rng.choice(SIZE, 5, replace=False, p=chances / chances.sum())
             for group in rng.integers(GROUPS, size=400)]  # fmt: skip
    train = playlists_of([[*one.tolist(), rng.integers(GROUPS * SIZE)] for one in lists])
    counts = np.bincount(train.tracks, minlength=GROUPS * SIZE)
    data = SimpleNamespace(
        train=train, tracks=GROUPS * SIZE, counts=counts, in_sessions=False,
        graph=build_graph(train, GROUPS * SIZE, 1),
    )  # fmt: skip
    model = Node2Vec(RecommendSettings(playlists=Path("none")), data)
    model.fit(tmp_path)
    for group in range(GROUPS):
        scores = model.score(playlists_of([[group * SIZE, group * SIZE + 1]]), None)[0]
        first = np.argsort(-scores)[:8]
        assert (first // SIZE == group).all()
        assert counts[first].mean() > counts[group * SIZE : (group + 1) * SIZE].mean()


# LINE


def test_edges_of_line_are_drawn_by_their_weights():
    graph = TrackGraph.from_edges(np.repeat([[0, 1], [1, 2], [2, 4]], [1, 6, 3], axis=0), 5)
    edges = _Edges(graph, 20_000, seed=0)
    drawn = np.array(list(edges))
    assert (np.bincount(drawn.ravel(), minlength=5) == edges.counts(5)).all()
    shares = np.bincount(drawn[:, 0], minlength=3) / len(drawn)
    np.testing.assert_allclose(shares, [0.1, 0.6, 0.3], atol=0.015)
    assert {tuple(pair) for pair in drawn.tolist()} == {(0, 1), (1, 2), (2, 4)}


# item-CF


def dense_similarity(playlists: Playlists, tracks: int, neighbours: int):
    held = np.zeros((len(playlists), tracks))
    held[playlists.owners, playlists.tracks] = 1
    counts = np.maximum(held.sum(axis=0), 1)
    full = held.T @ held / np.sqrt(np.outer(counts, counts))
    np.fill_diagonal(full, 0)
    for row in full:
        row[np.argsort(-row.astype(np.float32), kind="stable")[neighbours:]] = 0
    return full


@pytest.mark.parametrize("products", [1, 3_000, 10**9])
def test_item_cf_equals_a_dense_computation(monkeypatch, products):
    monkeypatch.setattr("ssl_audio.recommenders.baselines.item_cf.MAX_PRODUCTS", products)
    rng = np.random.default_rng(2)
    lists = playlists_of([rng.integers(0, 38, rng.integers(2, 30)).tolist() for _ in range(50)])
    found = item_similarity(lists, 40, 7, cosine)
    expected = dense_similarity(lists, 40, 7)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-5, atol=1e-7)
    assert np.diff(found.indptr).max() == 7
    settings = SimpleNamespace(item_cf=SimpleNamespace(neighbours=7), recency=1.0)
    model = ItemCF(settings, SimpleNamespace(train=lists, tracks=40))
    model.fit(None)
    seeds = playlists_of([[0, 3, 3], [], [39], [5, 6, 7]])
    given = np.zeros((4, 40))
    np.add.at(given, (seeds.owners, seeds.tracks), 1)
    np.testing.assert_allclose(model.scores(seeds), given @ expected, rtol=1e-5, atol=1e-6)
