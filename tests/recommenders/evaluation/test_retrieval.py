"""The task, the search and the figures against plain sets and loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.evaluation import retrieval
from ssl_audio.recommenders.evaluation.retrieval import (
    RetrievalTask,
    f1_of,
    measure_hits,
    next_session_task,
    retrieve,
    retrieve_by,
)


def lists(playlists):
    return [playlists[k].tolist() for k in range(len(playlists))]


def task_of(seen, truth):
    return RetrievalTask(playlists_of(seen), playlists_of(truth))


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


def test_who_has_nothing_new_is_only_trained_on():
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


def by_loop(vectors, task, k):
    found = []
    for user in range(len(task)):
        scores = []
        for item, vector in enumerate(vectors):
            if item not in task.seen[user]:
                score = sum(vectors[trigger] @ vector for trigger in task.seen[user])
                scores.append((-score, item))
        best = [item for _, item in sorted(scores)[:k]]
        found.append(best + [-1] * (k - len(best)))
    return np.array(found)


@pytest.mark.parametrize("cells", [1, 90, 10**6])
def test_search_is_that_of_a_plain_loop(cells, monkeypatch):
    monkeypatch.setattr(retrieval, "CELLS", cells)
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(30, 5))
    seen = [rng.choice(30, rng.integers(1, 9), replace=False).tolist() for _ in range(11)]
    task = task_of(seen, [[0]] * 11)
    for k in (4, 27):
        assert np.array_equal(retrieve(vectors, task, k), by_loop(vectors, task, k))


def test_ties_go_to_the_lower_row_and_too_few_are_filled():
    task = task_of([[1], [0]], [[2], [2]])
    level = retrieve_by(lambda triggers: np.zeros((len(triggers), 4)), task, 3)
    assert level.tolist() == [[0, 2, 3], [1, 2, 3]]
    assert retrieve_by(lambda t: np.zeros((len(t), 4)), task, 5)[0].tolist() == [0, 2, 3, -1, -1]


def test_an_item_without_a_vector_comes_last():
    vectors = np.array([[1.0, 0], [0, 0], [-1, 0], [-2, 0]])
    assert retrieve(vectors, task_of([[0]], [[2]]), 3).tolist() == [[2, 3, 1]]
    with pytest.raises(SslAudioError, match="not finite"):
        retrieve(vectors * np.nan, task_of([[0]], [[2]]), 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_figures_are_those_of_sets(users, k, seed):
    rng = np.random.default_rng(seed)
    found = np.stack([rng.permutation(12)[:k] for _ in range(users)])
    found[rng.random(found.shape) < 0.2] = -1
    truth = [rng.choice(12, rng.integers(1, 7), replace=False).tolist() for _ in range(users)]
    hits = measure_hits(found, task_of([[0]] * users, truth))
    common = np.array([len(set(f) & set(t)) for f, t in zip(found.tolist(), truth, strict=True)])
    assert np.allclose(hits.precision, common / k)
    assert np.allclose(hits.recall, common / [len(t) for t in truth])
    assert np.array_equal(hits.columns()["hit_rate"], common > 0)


def test_f1_is_made_of_the_means_as_table_2_of_the_paper_is():
    for precision, recall, f1 in ((0.0124, 0.2216, 0.0235), (0.0119, 0.1265, 0.0217)):
        assert f1_of(precision, recall) == pytest.approx(f1, abs=1e-4)
    assert f1_of(np.zeros(2), np.zeros(2)).tolist() == [0, 0]
