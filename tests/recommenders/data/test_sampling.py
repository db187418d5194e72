"""Samplers draw what the graph has, with the right probabilities, and repeatably."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.sampling import NeighbourSampler, PairSampler

pairs_of_tracks = st.sets(
    st.tuples(st.integers(0, 8), st.integers(0, 8)).filter(lambda p: p[0] < p[1]), min_size=1
)


def graph_of(pairs, tracks):
    return TrackGraph.from_edges(np.array(sorted(pairs)), tracks)


def made(seed=0, tracks=60, edges=500):
    """Some tracks of many neighbours, and the last five of none."""
    rng = np.random.default_rng(seed)
    drawn = ((tracks - 5) * rng.random((edges, 2)) ** 2).astype(int)
    drawn = np.unique(np.sort(drawn[drawn[:, 0] != drawn[:, 1]], axis=1), axis=0)
    return TrackGraph.from_edges(np.repeat(drawn, rng.integers(1, 20, len(drawn)), 0), tracks)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# --- neighbours ----------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(pairs_of_tracks, st.lists(st.integers(0, 11), max_size=20), st.integers(1, 6))
def test_samples_are_neighbours_or_minus_one_without_any(pairs, nodes, size):
    graph = graph_of(pairs, 12)
    found = NeighbourSampler(graph).sample(
        torch.tensor(nodes, dtype=torch.int64), size, generator()
    )
    assert found.shape == (len(nodes), size) and found.dtype == torch.int64
    for node, row in zip(nodes, found.tolist(), strict=True):
        known = set(graph[node].tolist())
        assert set(row) <= known if known else set(row) == {-1}


def test_neighbours_are_equally_likely_and_drawn_anew_each_time():
    graph = made()
    sampler = NeighbourSampler(graph)
    for node in (0, 7, 30):
        found = sampler.sample(torch.full((400,), node), 50, generator(node)).flatten().numpy()
        counts = np.bincount(found, minlength=len(graph))[graph[node]]
        assert counts.sum() == 20_000
        assert chisquare(counts).pvalue > 1e-3
    first, second = sampler.sample(torch.zeros(4000, dtype=torch.int64), 2, generator()).T.numpy()
    degree = graph.degree[0]
    assert (first == second).mean() == pytest.approx(1 / degree, abs=0.02)  # with replacement


def test_the_last_of_many_neighbours_is_reached_as_often_as_the_first():
    star = graph_of([(0, other) for other in range(1, 20_001)], 20_001)
    found = NeighbourSampler(star).sample(torch.zeros(2000, dtype=torch.int64), 100, generator())
    counts = np.histogram(found.numpy(), bins=10, range=(1, 20_001))[0]
    assert chisquare(counts).pvalue > 1e-3


def test_the_same_state_gives_the_same_neighbours():
    sampler, nodes = NeighbourSampler(made()), torch.arange(50)
    one, same, other = (sampler.sample(nodes, 9, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


# --- pairs ---------------------------------------------------------------------------------------


def batches(sampler, steps):
    """Left, right and co-occurrence of some steps, joined."""
    drawn = [sampler.pairs(step) for step in range(steps)]
    return [torch.cat(part).numpy() for part in zip(*drawn, strict=True)]


@settings(max_examples=60, deadline=None)
@given(
    pairs_of_tracks,
    st.integers(1, 7),
    st.integers(1, 4),
    st.integers(0, 99),
    st.sampled_from([0.0, 0.75]),
)
def test_positives_are_edges_and_negatives_are_not(pairs, positives, negatives, step, power):
    graph = graph_of(pairs, 10)  # the tenth is alone, so that every track has a partner
    sampler = PairSampler(graph, positives, negatives, 0, power)
    left, right, co_occur = (part.numpy() for part in sampler.pairs(step))
    assert len(left) == len(right) == len(co_occur) == positives * (1 + negatives)
    assert co_occur.tolist() == [1.0] * positives + [0.0] * (positives * negatives)
    np.testing.assert_array_equal(graph.has_edges(left, right), co_occur == 1)
    assert (left != right).all() and right.min() >= 0 and right.max() < 10
    np.testing.assert_array_equal(left[positives:], np.repeat(left[:positives], negatives))


def test_every_edge_is_drawn_once_in_an_epoch_whatever_the_batch():
    graph = made()
    for positives in (1, 7, 64, 2 * graph.edges + 3):
        sampler = PairSampler(graph, positives, 1, seed=3)
        left, right, co_occur = batches(sampler, 2 * -(-graph.edges // positives) + 1)
        kept = co_occur == 1
        drawn = np.sort(np.stack([left[kept], right[kept]]), axis=0)
        codes = drawn[0] * len(graph) + drawn[1]
        lower, higher, _ = graph.upper()
        expected = lower.astype(np.int64) * len(graph) + higher
        epochs = [codes[k * graph.edges : (k + 1) * graph.edges] for k in range(2)]
        for epoch in epochs:
            np.testing.assert_array_equal(np.sort(epoch), expected)
        assert (epochs[0] != epochs[1]).any() and (epochs[0] != expected).any()


def test_edges_are_drawn_by_their_weights():
    pairs, weights = np.array([(0, 1), (2, 1), (2, 3), (0, 4)]), np.array([1, 2, 4, 9])
    graph = TrackGraph.from_edges(np.repeat(pairs, weights, axis=0), 5)
    left, right, co_occur = batches(PairSampler(graph, 100, 1, seed=3, by_weight=True), 40)
    left, right = left[co_occur == 1], right[co_occur == 1]
    counts = [((left + right == sum(p)) & ((left == p[0]) | (right == p[0]))).sum() for p in pairs]
    assert sum(counts) == 4000
    assert chisquare(counts, 4000 * weights / 16).pvalue > 1e-3


def test_either_track_of_an_edge_is_on_the_left():
    left, right, co_occur = batches(PairSampler(made(), 100, 1, seed=0), 40)
    assert (left < right)[co_occur == 1].mean() == pytest.approx(0.5, abs=0.03)


def negatives_of(graph, track, **settings):
    """(tracks,) how often each was the negative of one track."""
    left, right, co_occur = batches(PairSampler(graph, 200, 20, seed=5, **settings), 100)
    return np.bincount(right[(co_occur == 0) & (left == track)], minlength=len(graph))


@pytest.mark.parametrize("track", [0, 7, 20])
def test_negatives_are_uniform_over_all_tracks_without_an_edge(track):
    graph = made()
    others = np.setdiff1d(np.arange(60), [*graph[track], track])
    counts = negatives_of(graph, track)
    assert counts.sum() == counts[others].sum() > 1000
    assert chisquare(counts[others]).pvalue > 1e-3


def test_negatives_follow_the_power_of_the_degree():
    graph = made()
    others = np.setdiff1d(np.arange(60), [*graph[30], 30])
    counts = negatives_of(graph, 30, negative_power=0.75)[others]
    # by a formula of its own: of eight draws at most, and then uniformly
    chances = np.maximum(graph.degree, 1) ** 0.75
    chances /= chances.sum()
    never = (1 - chances[others].sum()) ** 8
    share = chances[others] / chances[others].sum() * (1 - never) + never / len(others)
    assert never < 0.2
    assert chisquare(counts, share * counts.sum()).pvalue > 1e-3
    assert chisquare(counts).pvalue < 1e-6


def test_a_track_with_edges_to_all_others_is_replaced_in_negatives():
    star = graph_of([(0, other) for other in range(1, 6)], 6)
    left, right, co_occur = batches(PairSampler(star, 5, 3, seed=0), 30)
    negative = co_occur == 0
    assert not (left[negative] == 0).any() and (left[~negative] == 0).any()
    assert not star.has_edges(left[negative], right[negative]).any()
    assert (left[negative] != right[negative]).all()


def test_a_batch_is_a_function_of_the_seed_and_the_step():
    graph = made()
    one, same, other = (PairSampler(graph, 50, 2, seed) for seed in (1, 1, 2))
    later_first = [one.pairs(step) for step in (40, 3, 40)]
    for step, found in zip((40, 3, 40), later_first, strict=True):
        for a, b in zip(found, same.pairs(step), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(one.pairs(3)[0], other.pairs(3)[0])
    assert not torch.equal(one.pairs(3)[1], one.pairs(4)[1])


def test_a_graph_without_negatives_is_refused():
    with pytest.raises(SslAudioError, match="no pair is negative"):
        PairSampler(graph_of([(0, 1), (0, 2), (1, 2)], 3), 1, 1, 0)
