"""Whole-catalogue queries and their metrics."""

from types import SimpleNamespace

import numpy as np
import pytest

from ssl_audio.recommenders.baselines.popularity import Popularity, RandomOrder
from ssl_audio.recommenders.data.collection import Playlists, playlists_of
from ssl_audio.recommenders.evaluation import next_track
from ssl_audio.recommenders.evaluation.challenge import LIST_LENGTH
from ssl_audio.recommenders.evaluation.completion import completion_task
from ssl_audio.recommenders.evaluation.next_track import (
    NextTrackTask,
    next_track_figures,
    next_track_task,
)
from ssl_audio.recommenders.evaluation.ranking import ranked

TRACKS = 80
KEYS = ["next_track@1", "next_track@10", "next_track@50", "r_precision", "ndcg", "clicks"]


def some_playlists(count: int = 12, seed: int = 0) -> Playlists:
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(TRACKS)[: rng.integers(6, 20)].tolist() for _ in range(count)]
    return playlists_of(lists, [f"list {k}" for k in range(count)])


EVERYWHERE, COUNTS = np.ones(TRACKS, bool), np.ones(TRACKS, np.int64)


def popularity(counts: np.ndarray) -> Popularity:
    one = Popularity(None, SimpleNamespace(counts=counts, tracks=TRACKS))
    one.fit(None)
    return one


def test_truth_is_what_follows_the_seeds() -> None:
    playlists = playlists_of([[3, 1, 3, 4, 1, 5, 5, 9], [2, 7, 1], [8, 6, 8, 0, 2]], list("abc"))
    completion = completion_task(playlists, TRACKS, min_tracks=4)
    task = next_track_task(completion, playlists, EVERYWHERE, COUNTS)
    assert task.seeds.ids == task.truth.ids == ["a", "c"]
    assert [one.tolist() for one in task.seeds] == [[3, 1], [8, 6]]
    assert [one.tolist() for one in task.truth] == [[4, 5, 9], [0, 2]]
    assert sorted(task.rows) == list(range(TRACKS)) != task.rows.tolist()


def test_cold_tracks_are_ranked_among_themselves() -> None:
    """Warm seeds, cold tracks of the rest in order; cold tracks of the first part do not count."""
    playlists = playlists_of([[3, 9, 1, 8, 4, 7], [2, 5, 9, 6]], list("ab"))
    cold = np.arange(TRACKS) >= 6
    completion = completion_task(playlists, TRACKS, min_tracks=4, cold=cold)
    task = next_track_task(completion, playlists, cold, COUNTS)
    assert [one.tolist() for one in task.seeds] == [[3, 1], [2, 5]]
    assert [one.tolist() for one in task.truth] == [[8, 7], [9, 6]]
    assert sorted(task.rows) == list(range(6, TRACKS))


def test_max_playlists_are_drawn_and_rows_are_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_track, "MAX_PLAYLISTS", 7)
    playlists = some_playlists(30)
    pool = np.zeros(TRACKS, bool)
    pool[playlists.tracks] = True
    completion = completion_task(playlists, TRACKS, min_tracks=6)
    task = next_track_task(completion, playlists, pool, COUNTS, seed=3)
    assert len(task) == 7 and set(task.truth.ids) < set(playlists.ids)
    assert sorted(task.rows) == np.flatnonzero(pool).tolist()
    again = next_track_task(completion, playlists, pool, COUNTS, seed=3)
    assert again.seeds.ids == task.seeds.ids and (again.rows == task.rows).all()
    other = next_track_task(completion, playlists, pool, COUNTS, seed=4)
    assert other.seeds.ids != task.seeds.ids


def test_figures_of_a_list_made_by_hand() -> None:
    """Popularity ranks 0, 1, 2, ... without the seeds, so that 30 is the 29th."""
    seeds = playlists_of([[0], [1, 2]])
    truth = playlists_of([[1, 2, 70], [30, 0]])
    task = NextTrackTask(seeds, truth, np.random.default_rng(0).permutation(TRACKS), COUNTS)
    figures = next_track_figures(task, popularity(np.arange(TRACKS, 0, -1)))
    assert list(figures) == [*KEYS, "novelty", "coverage", "gini"]
    assert figures["next_track@1"].tolist() == [1, 0]
    assert figures["next_track@10"].tolist() == [1, 0]
    assert figures["next_track@50"].tolist() == [1, 1]
    np.testing.assert_allclose(figures["r_precision"], [2 / 3, 1 / 2])
    assert figures["clicks"].tolist() == [0, 0]
    ideal = 1 + 1 / np.log2(3)
    gains = [1 + 1 / np.log2(3) + 1 / np.log2(71), 1 + 1 / np.log2(30)]
    np.testing.assert_allclose(
        figures["ndcg"], [gains[0] / (ideal + 1 / np.log2(4)), gains[1] / ideal]
    )


def test_artists_have_a_metric_where_any_is_known() -> None:
    playlists = some_playlists()
    completion = completion_task(playlists, TRACKS, min_tracks=6)
    plain, nameless, known = (
        next_track_task(completion, playlists, EVERYWHERE, COUNTS, artists=artists)
        for artists in ((), [""] * TRACKS, ["", *(f"artist {k % 5}" for k in range(TRACKS - 1))])
    )
    assert plain.artists is None and nameless.artists is None
    popular = popularity(np.arange(TRACKS))
    without, figures = next_track_figures(plain, popular), next_track_figures(known, popular)
    assert set(figures) - set(without) == {"r_precision_artist", "artist_diversity"}
    for key, values in without.items():
        np.testing.assert_array_equal(figures[key], values)
    lists = ranked(popular, known.seeds, known.rows, LIST_LENGTH)
    for k, truth in enumerate(known.truth):
        shared = {(t - 1) % 5 for t in lists[k, : len(truth)] if t} & {
            (t - 1) % 5 for t in truth if t
        }
        expected = figures["r_precision"][k] + 0.25 * len(shared) / len(truth)
        assert figures["r_precision_artist"][k] == pytest.approx(expected)


def test_chance_finds_the_next_track_as_often_as_chance_does() -> None:
    playlists = some_playlists(1500)
    completion = completion_task(playlists, TRACKS, min_tracks=6)
    task = next_track_task(completion, playlists, EVERYWHERE, COUNTS)
    chance = RandomOrder(SimpleNamespace(seed=0), SimpleNamespace(tracks=TRACKS))
    figures = next_track_figures(task, chance)
    left = TRACKS - task.seeds.lengths
    assert figures["next_track@10"].mean() == pytest.approx((10 / left).mean(), abs=0.03)
    again = next_track_figures(task, chance)
    for key, values in figures.items():
        np.testing.assert_array_equal(values, again[key])


def test_ties_do_not_come_in_the_order_of_the_catalogue() -> None:
    """Otherwise constant scores would find the next track of a catalogue in playlist order."""
    playlists = playlists_of([[*range(4 * k, 4 * k + 4)] for k in range(20)])
    completion = completion_task(playlists, TRACKS, min_tracks=4)
    task = next_track_task(completion, playlists, EVERYWHERE, COUNTS)
    constant = popularity(np.ones(TRACKS))
    assert next_track_figures(task, constant)["next_track@1"].mean() < 0.2
    lists = ranked(constant, task.seeds, task.rows, 10)
    assert (np.diff(lists, axis=1) < 0).any()
