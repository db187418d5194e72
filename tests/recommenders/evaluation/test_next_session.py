"""Next-session queries and their metrics, against plain sets and loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.evaluation.sessions import (
    NextSessionTask,
    f1_of,
    hit_figures,
    next_session_task,
)


def lists(playlists):
    return [playlists[k].tolist() for k in range(len(playlists))]


def task_of(seen, truth):
    return NextSessionTask(playlists_of(seen), playlists_of(truth))


def test_the_last_session_is_held_out():
    sessions = playlists_of([[1, 2], [7, 8], [3], [4, 5, 4]])
    train, task = next_session_task(sessions, np.array([6, 2, 6, 6]))
    assert lists(train) == [[7], [1, 2], [3]]
    assert list(task.truth.ids) == ["2", "6"]
    assert lists(task.truth) == [[8], [4, 5]]
    assert lists(task.seen) == [[7], [1, 2, 3]]


@pytest.mark.parametrize(("length", "held"), [(2, 1), (10, 2), (13, 3), (50, 10), (200, 10)])
def test_a_fifth_of_an_only_session_is_held_out(length, held):
    train, task = next_session_task(playlists_of([range(length)]), np.array([1]))
    assert lists(task.truth) == [list(range(length - held, length))]
    assert lists(train) == lists(task.seen) == [list(range(length - held))]


def test_leave_one_out_holds_out_the_last_item():
    sessions = playlists_of([[1, 2], [7, 8], [3], [4, 5, 6], [9], [1, 3]])
    train, task = next_session_task(sessions, np.array([6, 2, 6, 6, 5, 6]), last_item=True)
    assert lists(train) == [[7], [9], [1, 2], [3], [4, 5, 6], [1]]
    assert list(task.truth.ids) == ["2"] and lists(task.truth) == [[8]]  # 6 has had 3, 5 has one
    train, task = next_session_task(sessions, np.array([6, 2, 6, 6, 5, 5]), last_item=True)
    assert lists(task.seen) == [[7], [9, 1], [1, 2, 3, 4, 5]]
    assert lists(task.truth) == [[8], [3], [6]]


def test_users_without_a_new_item_are_only_trained_on():
    sessions = playlists_of([[1], [1, 2], [2, 1], [5, 6], [6, 7]])
    train, task = next_session_task(sessions, np.array([1, 2, 2, 3, 3]))
    assert lists(train) == [[1], [1, 2], [5, 6]]
    assert list(task.truth.ids) == ["3"] and lists(task.truth) == [[7]]  # 6 was seen


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.lists(st.integers(0, 9), min_size=1, max_size=8)),
        min_size=1,
        max_size=12,
    )
)
def test_nothing_is_lost_and_nothing_leaks(rows):
    sessions = playlists_of([items for _, items in rows])
    owners = np.array([user for user, _ in rows])
    train, task = next_session_task(sessions, owners)
    assert min(train.lengths, default=1) > 0
    for k, user in enumerate(task.truth.ids):
        own = [items for owner, items in rows if str(owner) == user]
        flat = [item for items in own for item in items]
        seen = task.seen[k].tolist()
        assert flat[: len(seen)] == seen and len(seen) < len(flat)
        last = flat[len(seen) :]
        assert sorted(task.truth[k]) == sorted(set(last) - set(seen))
        if len(own) > 1:
            assert last == own[-1]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_figures_are_those_of_sets(users, k, seed):
    rng = np.random.default_rng(seed)
    found = np.stack([rng.permutation(12)[:k] for _ in range(users)])
    found[rng.random(found.shape) < 0.2] = -1
    truth = [rng.choice(12, rng.integers(1, 7), replace=False).tolist() for _ in range(users)]
    hits = hit_figures(found, task_of([[0]] * users, truth))
    common = np.array([len(set(f) & set(t)) for f, t in zip(found.tolist(), truth, strict=True)])
    assert np.allclose(hits["precision"], common / k)
    assert np.allclose(hits["recall"], common / [len(t) for t in truth])
    assert np.array_equal(hits["hit_rate"], common > 0)


def test_f1_is_made_of_the_means_as_table_2_of_the_paper_is():
    for precision, recall, f1 in ((0.0124, 0.2216, 0.0235), (0.0119, 0.1265, 0.0217)):
        assert f1_of(precision, recall) == pytest.approx(f1, abs=1e-4)
    assert f1_of(np.zeros(2), np.zeros(2)).tolist() == [0, 0]
