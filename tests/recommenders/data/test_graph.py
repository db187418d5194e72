"""The track graph against sets of playlists counted one pair at a time."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.data.graph import TrackGraph, build_graph, with_edges

TRACKS = 12
lists_of_tracks = st.lists(st.lists(st.integers(0, TRACKS - 1), max_size=9), max_size=25)


def counted(lists):
    """{(a, b): playlists with both}, a < b."""
    together = {}
    for number, tracks in enumerate(lists):
        for pair in combinations(sorted(set(tracks)), 2):
            together.setdefault(pair, set()).add(number)
    return {pair: len(numbers) for pair, numbers in together.items()}


def edges_of(graph):
    """{(a, b): weight} of all entries, both ways round."""
    rows = np.repeat(np.arange(len(graph)), graph.degree)
    return dict(
        zip(
            zip(rows.tolist(), graph.neighbours.tolist(), strict=True),
            graph.weights.tolist(),
            strict=True,
        )
    )


def both_ways(edges):
    return {**edges, **{(b, a): weight for (a, b), weight in edges.items()}}


def made(seed=0, playlists=300, tracks=90):
    """Playlists in which low numbers are popular, with repeats."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 30, playlists)
    return [(tracks * rng.random(n) ** 3).astype(int).tolist() for n in lengths]


@settings(max_examples=60, deadline=None)
@given(lists_of_tracks, st.integers(1, 5))
def test_edges_are_pairs_in_enough_distinct_playlists(lists, min_weight):
    expected = {pair: n for pair, n in counted(lists).items() if n >= min_weight}
    if not expected:
        with pytest.raises(SslAudioError, match="no two tracks|no playlist has two"):
            build_graph(playlists_of(lists), TRACKS, min_weight)
        return
    graph = build_graph(playlists_of(lists), TRACKS, min_weight)
    assert edges_of(graph) == both_ways(expected)
    assert len(graph) == TRACKS and graph.edges == len(expected)


def test_a_larger_graph_is_complete_sorted_and_symmetric():
    lists = made()
    graph = build_graph(playlists_of(lists), 95, 10)
    expected = {pair: n for pair, n in counted(lists).items() if n >= 10}
    assert len(expected) > 300  # more than one block's worth, and not all pairs
    assert edges_of(graph) == both_ways(expected)
    for track in range(95):
        assert (np.diff(graph[track]) > 0).all()
    assert (graph.degree[90:] == 0).all()
    assert (graph.offsets.dtype, graph.neighbours.dtype, graph.weights.dtype) == (
        np.int64, np.int32, np.int32,
    )  # fmt: skip
    left, right, weights = graph.upper()
    found = dict(zip(zip(left.tolist(), right.tolist(), strict=True), weights, strict=True))
    assert found == expected


def test_rows_are_sorted_when_few_tracks_of_a_large_catalogue_are_used():
    rng = np.random.default_rng(4)
    used = rng.choice(50_000, 40, replace=False)
    lists = [rng.permutation(used)[:9].tolist() for _ in range(60)]
    graph = build_graph(playlists_of(lists), 50_000, 3)
    expected = {pair: n for pair, n in counted(lists).items() if n >= 3}
    assert len(expected) > 100
    assert edges_of(graph) == both_ways(expected)
    assert all((np.diff(graph[track]) > 0).all() for track in used)


def test_rows_grow_beyond_the_first_allocation():
    everything = list(range(400))
    graph = build_graph(playlists_of([everything, everything[::-1]]), 400, 2)
    assert (graph.degree == 399).all() and (graph.weights == 2).all()


def test_an_empty_graph_is_refused_with_the_highest_weight():
    playlists = playlists_of([[0, 1, 2], [2, 1], [1, 2], [0, 0]])
    with pytest.raises(SslAudioError, match="in 10 playlists, the most frequent pair in 3: lower"):
        build_graph(playlists, 3, 10)
    sparse = playlists_of([[7, 900], [900, 7]])  # counted by the list of used entries
    with pytest.raises(SslAudioError, match="the most frequent pair in 2: lower"):
        build_graph(sparse, 1000, 3)
    with pytest.raises(SslAudioError, match="no playlist has two tracks"):
        build_graph(playlists_of([[0], [1, 1], []]), 3, 10)


def test_weights_of_repeated_edges_add():
    pairs = np.array([[3, 1], [1, 3], [0, 3], *[[1, 3]] * 5])
    graph = TrackGraph.from_edges(pairs, 5)
    assert edges_of(graph) == both_ways({(1, 3): 7, (0, 3): 1})
    assert graph.degree.tolist() == [1, 1, 0, 2, 0] and graph[3].tolist() == [0, 1]
    empty = TrackGraph.from_edges(np.empty((0, 2)), 4)
    assert empty.degree.tolist() == [0, 0, 0, 0] and with_edges(graph) is graph
    with pytest.raises(SslAudioError, match="no edge: lower graph.min_weight="):
        with_edges(empty)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda p: p[0] != p[1])))
def test_has_edges_of_every_pair(pairs):
    graph = TrackGraph.from_edges(np.array(sorted(pairs)).reshape(-1, 2), 8)
    left, right = (a.ravel() for a in np.mgrid[:8, :8])
    expected = [
        (a, b) in pairs or (b, a) in pairs
        for a, b in zip(left.tolist(), right.tolist(), strict=True)
    ]
    assert graph.has_edges(left, right).tolist() == expected
