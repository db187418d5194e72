"""Sessions against a plain loop over events, and the views and graphs by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.data.sessions import (
    Events,
    make_sessions,
    view_graph,
    view_sequences,
)
from ssl_audio.settings.recommend import SessionSettings

MINUTE, HOUR, YEAR = 60.0, 3600.0, 365 * 86_400.0
MOVIELENS = SessionSettings()
HOURLY = SessionSettings(idle=HOUR, min_rating=None, max_length=None)


def events_of(rows, rating=None):
    user, item, time = (np.array(column) for column in zip(*rows, strict=True))
    rating = np.full(len(rows), 5.0) if rating is None else np.array(rating)
    return Events(user, item.astype(np.int64), time.astype(np.float64), rating)


def lists_of(sessions):
    playlists, _ = sessions
    return [playlists[k].tolist() for k in range(len(playlists))]


def test_users_are_apart_and_their_events_in_order_of_time():
    found = make_sessions(events_of([(2, 5, 9), (1, 3, 30), (2, 4, 8), (1, 7, 20)]), HOURLY)
    assert lists_of(found) == [[7, 3], [4, 5]]
    assert found[1].tolist() == [1, 2] and list(found[0].ids) == ["1:0", "2:0"]


def test_events_of_one_time_stay_as_given():
    rows = [(1, item, 5) for item in (4, 2, 9, 1)]
    assert lists_of(make_sessions(events_of(rows), HOURLY)) == [[4, 2, 9, 1]]


def test_an_idle_hour_splits_and_a_minute_less_does_not():
    rows = [(1, 0, 0), (1, 1, 59 * MINUTE), (1, 2, 59 * MINUTE + HOUR)]
    assert lists_of(make_sessions(events_of(rows), HOURLY)) == [[0, 1], [2]]


def test_movielens_drops_ratings_below_3_and_splits_at_a_year():
    rows = [(1, 0, 0), (1, 1, 1), (1, 2, YEAR), (1, 3, 2.5 * YEAR)]
    events = events_of(rows, rating=[3.0, 2.5, 5.0, 4.0])
    assert lists_of(make_sessions(events, MOVIELENS)) == [[0], [2], [3]]


def test_without_rules_each_user_has_one_session_of_all():
    rows = [(1, 0, 0), (1, 1, 9 * YEAR), (2, 2, 0)]
    none = SessionSettings(min_rating=None, idle=None, max_length=None)
    assert lists_of(make_sessions(events_of(rows, [0.5, 5, 5]), none)) == [[0, 1], [2]]


def test_an_item_is_not_twice_in_a_row_but_may_begin_the_next_session():
    rows = [(1, 4, 0), (1, 4, 1), (1, 5, 2), (1, 4, 3), (1, 4, 3 + HOUR), (2, 4, 0)]
    assert lists_of(make_sessions(events_of(rows), HOURLY)) == [[4, 5, 4], [4], [4]]


def test_a_dropped_event_does_not_separate_repeats():
    rows = [(1, 4, 0), (1, 5, 1), (1, 4, 2)]
    assert lists_of(make_sessions(events_of(rows, [5, 1, 5]), MOVIELENS)) == [[4]]


@pytest.mark.parametrize(
    ("length", "pieces"), [(50, [50]), (51, [26, 25]), (101, [34, 34, 33]), (1, [1])]
)
def test_a_long_session_is_cut_into_level_pieces(length, pieces):
    events = events_of([(1, k, k) for k in range(length)])
    found, _ = make_sessions(events, MOVIELENS)
    assert found.lengths.tolist() == pieces and found.tracks.tolist() == list(range(length))


def by_loop(rows, idle, longest):
    """(user, [items]) of each session, without merging."""
    sessions = []
    last = None
    for user, item, time in sorted(rows, key=lambda row: (row[0], row[2])):
        if last is None or user != last[0] or time - last[1] >= idle:
            sessions.append((user, []))
        if not sessions[-1][1] or sessions[-1][1][-1] != item:
            sessions[-1][1].append(item)
        last = (user, time)
    cut = []
    for user, items in sessions:
        pieces = -(-len(items) // longest)
        parts = [[] for _ in range(pieces)]
        for position, item in enumerate(items):
            parts[position * pieces // len(items)].append(item)
        cut += [(user, part) for part in parts]
    return cut


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 4), st.integers(0, 60)), min_size=1, max_size=40
    ),
    st.integers(1, 20),
    st.integers(1, 6),
)
def test_sessions_are_those_of_a_plain_loop(rows, idle, longest):
    found = make_sessions(events_of(rows), SessionSettings(idle=idle, max_length=longest))
    expected = by_loop(rows, idle, longest)
    assert lists_of(found) == [items for _, items in expected]
    playlists, owners = found
    assert owners.tolist() == [user for user, _ in expected]
    assert len(set(playlists.ids)) == len(expected) and playlists.lengths.max() <= longest


def test_rules_that_keep_nothing_are_refused():
    with pytest.raises(SslAudioError, match="min_rating=3 keeps none of 1 ratings"):
        make_sessions(events_of([(1, 0, 0)], rating=[1.0]), MOVIELENS)


def test_a_view_of_one_attribute_has_no_repeats_in_a_row():
    playlists = playlists_of([[0, 1, 2, 3], [1], [4, 0], [4]])
    found = view_sequences(playlists, np.array([7, 7, 2, 7, -1]))
    assert [found[k].tolist() for k in range(4)] == [[7, 2, 7], [7], [7], []]
    assert list(found.ids) == list(playlists.ids)


def test_a_view_of_several_attributes_gives_them_in_turn():
    table = csr_matrix(np.array([[1, 0, 1], [0, 0, 3], [0, 0, 0], [1, 1, 0]]))
    found = view_sequences(playlists_of([[0, 1, 2, 3], [3, 0]]), table)
    assert found[0].tolist() == [0, 2, 0, 1] and found[1].tolist() == [0, 1, 0, 2]


def test_edges_are_undirected_counted_and_without_loops():
    source, target, count = view_graph(playlists_of([[0, 1, 1, 0, 2], [2], [2, 0], []]), 4).upper()
    assert list(zip(source.tolist(), target.tolist(), count.tolist(), strict=True)) == [
        (0, 1, 2),
        (0, 2, 2),
    ]


def test_the_graphs_of_figure_1_differ_between_views():
    items = playlists_of([[0, 1, 2, 0]])
    categories = view_sequences(items, np.array([0, 0, 1]))
    assert view_graph(items, 3).edges == 3 and view_graph(categories, 2).edges == 1
