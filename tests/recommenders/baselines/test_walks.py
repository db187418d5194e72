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


def walks_of(weights: np.ndarray, p: float = 1.0, q: float = 1.0, seed: int = 3) -> np.ndarray:
    """1,500 walks of 20 nodes from each node."""
    walks = Walks(graph_of(weights), 20, p, q, seed)
    return np.concatenate([walks.round(number) for number in range(1500)])


def exact(weights: np.ndarray, before: int, node: int, p: float, q: float) -> np.ndarray:
    """(nodes,) chances of the next node: alpha_pq(before, next) times the weight, normalised."""
    chances = np.zeros(len(weights))
    for after in range(len(weights)):
        common = weights[before, after] > 0
        alpha = 1 / p if after == before else 1.0 if common else 1 / q
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


@pytest.mark.parametrize(("p", "q"), [(0.25, 4.0), (4.0, 0.25), (1.0, 0.5), (0.05, 0.2), (3, 3)])
def test_second_order_steps_follow_the_formula(p, q):
    weights = small_graph()
    walks = walks_of(weights, p, q, seed=5)
    steps = np.zeros((6, 6, 6))
    triples = (walks[:, :-2].ravel(), walks[:, 1:-1].ravel(), walks[:, 2:].ravel())
    np.add.at(steps, triples, 1)
    compared = 0
    for before, node in zip(*np.nonzero(weights), strict=True):
        chances = exact(weights, before, node, p, q)
        seen = steps[before, node]
        assert not seen[chances == 0].any()
        if (chances > 0).sum() > 1:
            expected = chances * seen.sum()
            assert chisquare(seen[chances > 0], expected[chances > 0]).pvalue > 1e-3
            compared += 1
    assert compared == 15  # every directed edge but the one into the leaf


def test_a_round_depends_on_the_seed_and_its_number_alone():
    graph = graph_of(small_graph())
    walks = Walks(graph, length=8, p=0.5, q=2.0, seed=7)
    late, first = walks.round(2), walks.round(0)
    np.testing.assert_array_equal(late, Walks(graph, 8, 0.5, 2.0, seed=7).round(2))
    assert (first != late).any()
    assert (Walks(graph, 8, 0.5, 2.0, seed=8).round(0) != first).any()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    nodes=st.integers(2, 30),
    density=st.floats(0.0, 1.0),
    pq=st.sampled_from([(1.0, 1.0), (0.1, 3.0), (3.0, 0.1)]),
)
def test_walks_stay_on_edges_and_begin_once_at_every_node_that_has_one(seed, nodes, density, pq):
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((nodes, nodes)) < density, 1) * rng.integers(1, 9, (nodes, nodes))
    weights = upper + upper.T
    walks = Walks(graph_of(weights), 6, *pq, seed=seed).round(0)
    assert walks.shape == ((weights.any(axis=1)).sum(), 6)
    np.testing.assert_array_equal(np.sort(walks[:, 0]), np.flatnonzero(weights.any(axis=1)))
    assert (weights[walks[:, :-1], walks[:, 1:]] > 0).all()


@pytest.mark.parametrize("q", [1.0, 2.0])
def test_a_walk_ends_where_no_edge_continues_it(q):
    """0 -> 1 -> 2 with no edge back, as a graph of one direction has."""
    graph = TrackGraph(np.array([0, 1, 2, 2]), np.array([1, 2], np.int32), np.array([4, 1], "i4"))
    walks = Walks(graph, length=5, q=q).round(0)
    assert sorted(walks.tolist()) == [[0, 1, 2, -1, -1], [1, 2, -1, -1, -1]]
