"""The track graph against sets of playlists counted one pair at a time."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.data.graph import (
    TrackGraph,
    build_graph,
    edges_by_threshold,
    load_graph,
    with_edges,
)

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
def test_edges_are_the_pairs_that_enough_distinct_playlists_have(lists, least):
    wanted = {pair: n for pair, n in counted(lists).items() if n >= least}
    if not wanted:
        with pytest.raises(SslAudioError, match="no two tracks|no playlist has two"):
            build_graph(playlists_of(lists), TRACKS, least)
        return
    graph = build_graph(playlists_of(lists), TRACKS, least)
    assert edges_of(graph) == both_ways(wanted)
    assert len(graph) == TRACKS and graph.edges == len(wanted)


def test_a_larger_graph_is_whole_sorted_and_symmetric():
    lists = made()
    graph = build_graph(playlists_of(lists), 95, 10)
    wanted = {pair: n for pair, n in counted(lists).items() if n >= 10}
    assert len(wanted) > 300  # more than one block's worth, and not all pairs
    assert edges_of(graph) == both_ways(wanted)
    for track in range(95):
        assert (np.diff(graph[track]) > 0).all()
    assert (graph.degree[90:] == 0).all()
    assert (graph.offsets.dtype, graph.neighbours.dtype, graph.weights.dtype) == (
        np.int64, np.int32, np.int32,
    )  # fmt: skip
    left, right, weights = graph.upper()
    found = dict(zip(zip(left.tolist(), right.tolist(), strict=True), weights, strict=True))
    assert found == wanted


def test_few_tracks_of_a_large_catalogue_make_sorted_rows_too():
    rng = np.random.default_rng(4)
    used = rng.choice(50_000, 40, replace=False)
    lists = [rng.permutation(used)[:9].tolist() for _ in range(60)]
    graph = build_graph(playlists_of(lists), 50_000, 3)
    wanted = {pair: n for pair, n in counted(lists).items() if n >= 3}
    assert len(wanted) > 100
    assert edges_of(graph) == both_ways(wanted)
    assert all((np.diff(graph[track]) > 0).all() for track in used)


def test_rows_may_need_more_room_than_was_made_for_them():
    everything = list(range(400))
    graph = build_graph(playlists_of([everything, everything[::-1]]), 400, 2)
    assert (graph.degree == 399).all() and (graph.weights == 2).all()


def test_thresholds_are_counted_without_building_the_graph():
    lists = made()
    counts = counted(lists).values()
    found = edges_by_threshold(playlists_of(lists), 90, (10, 1, 40, 1000))
    assert found == {least: sum(n >= least for n in counts) for least in (10, 1, 40, 1000)}
    assert found[40] > 0 == found[1000]


def test_an_empty_graph_says_what_lower_thresholds_would_leave():
    playlists = playlists_of([[0, 1, 2], [2, 1], [1, 2], [0, 0]])
    with pytest.raises(SslAudioError, match="1 would leave 3, 2 would leave 1, 3 would leave 1,"):
        build_graph(playlists, 3)
    with pytest.raises(SslAudioError, match="no playlist has two tracks"):
        build_graph(playlists_of([[0], [1, 1], []]), 3)


@pytest.mark.parametrize("track", [-1, 3])
def test_tracks_outside_the_catalogue_are_refused(track):
    with pytest.raises(ValueError, match="outside 0 to 2"):
        build_graph(playlists_of([[0, track]]), 3)
    with pytest.raises(ValueError, match="outside 0 to 2"):
        TrackGraph.from_edges(np.array([[0, track]]), 3)


def test_a_weight_below_one_is_refused():
    with pytest.raises(ValueError, match="1 or more"):
        build_graph(playlists_of([[0, 1]]), 2, 0)


def test_a_graph_of_given_edges_adds_up_what_is_given_twice():
    graph = TrackGraph.from_edges(np.array([[3, 1], [1, 3], [0, 3]]), 5, np.array([2, 5, 1]))
    assert edges_of(graph) == both_ways({(1, 3): 7, (0, 3): 1})
    assert graph.degree.tolist() == [1, 1, 0, 2, 0] and graph[3].tolist() == [0, 1]
    assert TrackGraph.from_edges(np.empty((0, 2)), 4).degree.tolist() == [0, 0, 0, 0]
    for pairs, weights in ([[1, 1]], None), ([[0, 1]], np.array([0])):
        with pytest.raises(ValueError, match="to itself, or with a weight below 1"):
            TrackGraph.from_edges(np.array(pairs), 3, weights)


def test_tracks_are_appended_with_edges_or_without():
    graph = build_graph(playlists_of(made()), 90, 10)
    known = edges_of(graph)
    (a, b), weight = next(iter(known.items()))
    new = np.array([[90, 3], [a, b], [91, 90]])
    grown = with_edges(graph, new, np.array([4, 2, 1]), tracks=93)
    wanted = both_ways({(3, 90): 4, (90, 91): 1})
    assert edges_of(grown) == {**known, **wanted, (a, b): weight + 2, (b, a): weight + 2}
    assert len(grown) == 93 and grown.degree[92] == 0
    assert grown[3].tolist() == [*graph[3], 90]
    assert edges_of(graph) == known and len(graph) == 90
    alone = with_edges(graph, np.empty((0, 2), int), tracks=91)
    assert edges_of(alone) == known and len(alone) == 91
    with pytest.raises(ValueError, match="the graph has 90"):
        with_edges(graph, new, tracks=50)
    with pytest.raises(ValueError, match="outside 0 to 89"):
        with_edges(graph, new)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda p: p[0] != p[1])))
def test_every_pair_is_asked_for_its_edge(pairs):
    graph = TrackGraph.from_edges(np.array(sorted(pairs)).reshape(-1, 2), 8)
    left, right = (a.ravel() for a in np.mgrid[:8, :8])
    wanted = [
        (a, b) in pairs or (b, a) in pairs
        for a, b in zip(left.tolist(), right.tolist(), strict=True)
    ]
    assert graph.has_edges(left, right).tolist() == wanted


def test_a_graph_is_saved_and_loaded(tmp_path):
    graph = build_graph(playlists_of(made()), 90, 10)
    path = tmp_path / "graph.safetensors"
    graph.save(path)
    loaded = load_graph(path)
    for name in ("offsets", "neighbours", "weights"):
        before, after = getattr(graph, name), getattr(loaded, name)
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_files_that_are_no_graph_are_refused_in_one_line(tmp_path):
    path = tmp_path / "graph.safetensors"
    with pytest.raises(SslAudioError, match="no such graph"):
        load_graph(path)
    graph = TrackGraph.from_edges(np.array([[0, 1], [1, 2]]), 3)
    graph.save(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SslAudioError, match="not a whole graph"):
        load_graph(path)
    from safetensors.numpy import save_file

    save_file({"offsets": graph.offsets, "neighbours": graph.neighbours}, path)
    with pytest.raises(SslAudioError, match="not a whole graph"):
        load_graph(path)


def test_arrays_that_do_not_fit_are_refused():
    graph = TrackGraph.from_edges(np.array([[0, 1]]), 2)
    with pytest.raises(ValueError, match="offsets up to 2"):
        TrackGraph(graph.offsets, graph.neighbours[:1], graph.weights)
