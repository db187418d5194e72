"""Random walks against the exact transition chances of a small graph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import chisquare

from ssl_audio.recommenders.baselines.walks import Walks
from ssl_audio.recommenders.data.graph import TrackGraph


def small_graph() -> np.ndarray:
    """(6, 6) weights: triangles, a square, a leaf (5) and very unequal weights."""
    edges = [(0, 1, 5), (0, 2, 1), (1, 2, 2), (1, 3, 7), (2, 3, 1), (2, 4, 3), (3, 4, 1), (4, 5, 9)]
    weights = np.zeros((6, 6), np.int32)
    for a, b, weight in edges:
        weights[a, b] = weights[b, a] = weight
    return weights


def graph_of(weights: np.ndarray) -> TrackGraph:
    matrix = sparse.csr_array(weights)
    return TrackGraph(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)


def walks_of(weights: np.ndarray, q: float = 1.0, seed: int = 3) -> np.ndarray:
    """1,500 walks of 20 nodes from each node."""
    walks = Walks(graph_of(weights), 20, q, seed)
    return np.concatenate([walks.round(number) for number in range(1500)])


def exact(weights: np.ndarray, before: int, node: int, q: float) -> np.ndarray:
    """(nodes,) chances of the next node: alpha(before, next) times the weight, normalised."""
    chances = np.zeros(len(weights))
    for after in range(len(weights)):
        near = after == before or weights[before, after] > 0
        alpha = 1.0 if near else 1 / q
        chances[after] = alpha * weights[node, after]
    return chances / chances.sum()


def test_first_order_steps_follow_the_weights():
    weights = small_graph()
    walks = walks_of(weights)
    steps = np.zeros((6, 6))
    np.add.at(steps, (walks[:, :-1].ravel(), walks[:, 1:].ravel()), 1)
    for node in range(6):
        chances = weights[node] / weights[node].sum()
        possible = chances > 0
        assert not steps[node, ~possible].any()
        expected = chances[possible] * steps[node].sum()
        if possible.sum() > 1:
            assert chisquare(steps[node, possible], expected).pvalue > 1e-3


@pytest.mark.parametrize("q", [4.0, 0.25, 0.5, 3.0])
def test_second_order_steps_follow_the_formula(q):
    weights = small_graph()
    walks = walks_of(weights, q, seed=5)
    steps = np.zeros((6, 6, 6))
    triples = (walks[:, :-2].ravel(), walks[:, 1:-1].ravel(), walks[:, 2:].ravel())
    np.add.at(steps, triples, 1)
    compared = 0
    for before, node in zip(*np.nonzero(weights), strict=True):
        chances = exact(weights, before, node, q)
        seen = steps[before, node]
        assert not seen[chances == 0].any()
        if (chances > 0).sum() > 1:
            expected = chances * seen.sum()
            assert chisquare(seen[chances > 0], expected[chances > 0]).pvalue > 1e-3
            compared += 1
    assert compared == 15  # every directed edge but the one into the leaf


def test_a_round_depends_on_the_seed_and_its_number_alone():
    graph = graph_of(small_graph())
    walks = Walks(graph, length=8, q=2.0, seed=7)
    late, first = walks.round(2), walks.round(0)
    np.testing.assert_array_equal(late, Walks(graph, 8, 2.0, seed=7).round(2))
    assert (first != late).any()
    assert (Walks(graph, 8, 2.0, seed=8).round(0) != first).any()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    nodes=st.integers(2, 30),
    density=st.floats(0.0, 1.0),
    q=st.sampled_from([1.0, 3.0, 0.1]),
)
def test_walks_stay_on_edges_and_begin_once_at_every_node_that_has_one(seed, nodes, density, q):
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((nodes, nodes)) < density, 1) * rng.integers(1, 9, (nodes, nodes))
    weights = upper + upper.T
    walks = Walks(graph_of(weights), 6, q, seed=seed).round(0)
    assert walks.shape == ((weights.any(axis=1)).sum(), 6)
    np.testing.assert_array_equal(np.sort(walks[:, 0]), np.flatnonzero(weights.any(axis=1)))
    assert (weights[walks[:, :-1], walks[:, 1:]] > 0).all()
