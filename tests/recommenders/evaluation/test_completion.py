"""Playlist completion: the queries and each metric."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import ndcg_score

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.evaluation.completion import (
    CompletionTask,
    completion_figures,
    completion_task,
)

TRACKS = 900


def made(count=60, seed=0, shortest=30, longest=90, tracks=TRACKS, repeats=True):
    rng = np.random.default_rng(seed)
    lists = []
    for _ in range(count):
        tracks_of_one = rng.choice(tracks, rng.integers(shortest, longest + 1), replace=False)
        if repeats:
            tracks_of_one[5] = tracks_of_one[0]
        lists.append(tracks_of_one.tolist())
    return playlists_of(lists, [f"list-{k}" for k in range(count)])


def task_of(relevant):
    """A task whose candidates are only known to be relevant or not: lists of 0 and 1."""
    flat = [bool(r) for one in relevant for r in one]
    candidates = playlists_of([list(range(len(one))) for one in relevant])
    return CompletionTask(playlists_of([[0]] * len(relevant)), candidates, np.array(flat))


def random_scores(task, seed=0):
    return np.random.default_rng(seed).random(len(task.relevant), np.float32)


def distinct(tracks):
    return list(dict.fromkeys(tracks.tolist()))


def test_first_part_is_seeds_and_the_rest_is_mixed_with_as_many_negatives():
    playlists = made()
    task = completion_task(playlists, TRACKS, seed_share=0.3, min_tracks=40, seed=1)
    source = {name: distinct(playlists[k]) for k, name in enumerate(playlists.ids)}
    long = [name for name in playlists.ids if len(source[name]) >= 40]
    assert list(task.seeds.ids) == list(task.candidates.ids) == long
    assert 0 < len(long) < len(playlists)
    for k, name in enumerate(long):
        cut = math.floor(0.3 * len(source[name]) + 1e-9)
        part = slice(task.candidates.offsets[k], task.candidates.offsets[k + 1])
        candidates, relevant = task.candidates.tracks[part], task.relevant[part]
        assert task.seeds[k].tolist() == source[name][:cut]
        assert sorted(candidates[relevant]) == sorted(source[name][cut:])
        negatives = candidates[~relevant]
        assert len(negatives) == relevant.sum() == len(set(negatives.tolist()))
        assert not set(negatives.tolist()) & set(source[name])
        assert 0 <= negatives.min() and negatives.max() < TRACKS


def test_the_same_seed_gives_the_same_task_and_another_seed_another():
    one, same, other = (
        completion_task(made(), TRACKS, max_playlists=20, seed=s) for s in (3, 3, 4)
    )
    assert list(one.seeds.ids) == list(same.seeds.ids) != list(other.seeds.ids)
    np.testing.assert_array_equal(one.candidates.tracks, same.candidates.tracks)
    np.testing.assert_array_equal(one.relevant, same.relevant)
    assert len(one) == 20


def test_a_share_that_floats_just_below_a_whole_number_is_not_rounded_down():
    playlists = made(5, shortest=100, longest=100, repeats=False)
    task = completion_task(playlists, TRACKS, seed_share=0.29)
    assert task.seeds.lengths.tolist() == [29] * 5
    ends = (
        completion_task(playlists, TRACKS, seed_share=0.001),
        completion_task(playlists, TRACKS, seed_share=0.999),
    )
    assert ends[0].seeds.lengths.tolist() == [1] * 5
    assert ends[1].candidates.lengths.tolist() == [2] * 5


def test_negatives_are_uniform_even_where_few_are_left():
    playlists = playlists_of([list(range(8))] * 3000)
    task = completion_task(playlists, 14, min_tracks=8, seed_share=0.5)  # 4 of the 6 others, each
    counts = np.bincount(task.candidates.tracks[~task.relevant], minlength=14)
    assert counts[:8].sum() == 0
    spread = math.sqrt(3000 * (4 / 6) * (2 / 6))
    assert np.abs(counts[8:] - 2000).max() < 4 * spread
    tight = completion_task(playlists_of([list(range(8))] * 50), 12, min_tracks=8)
    assert np.bincount(tight.candidates.tracks[~tight.relevant])[8:].tolist() == [50] * 4


def test_negatives_come_from_the_pool():
    pool = np.arange(TRACKS) % 2 == 0
    task = completion_task(made(), TRACKS, pool=pool)
    assert pool[task.candidates.tracks[~task.relevant]].all()
    assert not pool[task.candidates.tracks[task.relevant]].all()


def test_cold_candidates_are_all_cold_and_seeds_all_warm():
    playlists = made(40, shortest=40)
    source = dict(zip(playlists.ids, (distinct(playlists[k]) for k in range(40)), strict=True))
    cold = np.random.default_rng(5).random(TRACKS) < 0.1
    task = completion_task(playlists, TRACKS, cold=cold, seed=2)
    assert cold[task.candidates.tracks].all() and not cold[task.seeds.tracks].any()
    assert len(task) > 30
    for k, name in enumerate(task.candidates.ids):
        whole, half = source[name], len(source[name]) // 2
        part = slice(task.candidates.offsets[k], task.candidates.offsets[k + 1])
        found = task.candidates.tracks[part]
        assert set(found[task.relevant[part]].tolist()) == {t for t in whole[half:] if cold[t]}
        assert not set(found[~task.relevant[part]].tolist()) & set(whole)
        assert 2 * task.relevant[part].sum() == len(found)


def test_playlists_without_a_warm_seed_or_a_cold_target_are_left_out():
    cold = np.zeros(20, bool)
    cold[10:] = True
    playlists = playlists_of(
        [[0, 1, 10, 11], [10, 11, 12, 13], [0, 1, 2, 3], [14, 0, 15, 1], [0, 1]]
    )
    task = completion_task(playlists, 20, min_tracks=4, cold=cold)
    assert list(task.candidates.ids) == ["0", "3"]
    assert task.seeds[1].tolist() == [0]
    assert task.candidates[1][task.relevant[4:]].tolist() == [15]
    assert set(task.candidates[1].tolist()).isdisjoint({14})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_tracks": 95}, "none of 60 playlists has 95 distinct .* completion.min_tracks="),
        ({"cold": np.zeros(TRACKS, bool)}, "a cold one to find"),
        ({"pool": np.arange(TRACKS) < 30}, "list-.* needs .* random tracks, and there are"),
    ],
)
def test_tasks_without_a_query_are_refused(options, message):
    with pytest.raises(SslAudioError, match=message):
        completion_task(made(), TRACKS, **options)
    with pytest.raises(SslAudioError, match="none of 0 playlists"):
        completion_task(playlists_of([]), TRACKS)
    with pytest.raises(SslAudioError, match="only one test playlist can be completed"):
        completion_task(playlists_of([list(range(40))]), TRACKS)


def test_figures_by_hand():
    # by score, highest first: 1 0 1 1 0 0, and 0 0 1
    task = task_of([[0, 1, 0, 1, 0, 1], [1, 0, 0]])
    scores = np.array([0.1, 0.9, 0.8, 0.7, 0.2, 0.6, -3.0, -1.0, -2.0])
    found = completion_figures(task, scores)
    np.testing.assert_allclose(found["hr"], [2 / 3, 0])
    np.testing.assert_allclose(found["mrr"], [1, 1])
    np.testing.assert_allclose(found["precision@1"], [1, 0])
    np.testing.assert_allclose(found["precision@5"], [3 / 5, 1 / 5])
    np.testing.assert_allclose(found["precision@10"], [3 / 10, 1 / 10])
    best = 1 + 1 / math.log2(3) + 1 / 2
    gain = 1 + 1 / 2 + 1 / math.log2(5)
    np.testing.assert_allclose(found["ndcg@1"], [1, 0])
    np.testing.assert_allclose(found["ndcg@5"], [gain / best, 1 / 2])
    np.testing.assert_allclose(found["ndcg@10"], [gain / best, 1 / 2])
    assert list(found) == [
        "hr", "mrr", "precision@1", "precision@5", "precision@10", "ndcg@1", "ndcg@5", "ndcg@10",
    ]  # fmt: skip


def test_ranks_of_the_mrr_count_alike_by_ten():
    relevant = np.zeros(40, int)
    relevant[[9, 10, 19, 20, 39]] = 1  # ranks 10, 11, 20, 21, 40
    found = completion_figures(task_of([relevant]), -np.arange(40.0))
    assert found["mrr"][0] == pytest.approx((1 + 1 / 2 + 1 / 2 + 1 / 3 + 1 / 4) / 5)


def test_figures_are_those_of_scikit_learn_and_plain_loops():
    task = completion_task(made(30), TRACKS, seed=1)
    scores = random_scores(task, 7)
    found = completion_figures(task, scores)
    for k in range(len(task)):
        part = slice(task.candidates.offsets[k], task.candidates.offsets[k + 1])
        relevant = task.relevant[part]
        ranks = 1 + np.flatnonzero(relevant[np.argsort(-scores[part])])
        assert found["hr"][k] == pytest.approx(np.mean(ranks <= len(ranks)))
        assert found["mrr"][k] == pytest.approx(np.mean([1 / math.ceil(r / 10) for r in ranks]))
        for cutoff in (1, 5, 10):
            ndcg = ndcg_score([relevant], [scores[part]], k=cutoff)
            assert found[f"ndcg@{cutoff}"][k] == pytest.approx(ndcg)
            assert found[f"precision@{cutoff}"][k] == pytest.approx(
                (ranks <= cutoff).sum() / cutoff
            )


relevances = st.lists(
    st.lists(st.booleans(), min_size=1, max_size=45).filter(any), min_size=1, max_size=8
)


@settings(max_examples=60, deadline=None)
@given(relevances, st.integers(0, 2**32 - 1))
def test_figures_are_bounded_and_only_the_order_of_scores_counts(relevant, seed):
    task = task_of(relevant)
    scores = np.random.default_rng(seed).integers(0, 6, len(task.relevant)).astype(np.float64)
    found = completion_figures(task, scores)
    stretched = completion_figures(task, np.exp(scores) * 3 - 100)
    counted = completion_figures(task, scores.astype(np.uint16))
    for name, values in found.items():
        assert values.shape == (len(relevant),)
        assert (values >= 0).all() and (values <= 1 + 1e-12).all()
        np.testing.assert_array_equal(values, stretched[name])
        np.testing.assert_array_equal(values, counted[name])


@settings(max_examples=60, deadline=None)
@given(relevances)
def test_the_best_order_has_the_best_figures(relevant):
    task = task_of(relevant)
    found = completion_figures(task, task.relevant.astype(float))
    expected_hits = np.array([sum(one) for one in relevant])
    np.testing.assert_allclose(found["hr"], 1)
    for k in (1, 5, 10):
        np.testing.assert_allclose(found[f"ndcg@{k}"], 1)
        np.testing.assert_allclose(found[f"precision@{k}"], np.minimum(expected_hits, k) / k)
    expected = [
        np.mean([1 / math.ceil(rank / 10) for rank in range(1, m + 1)]) for m in expected_hits
    ]
    np.testing.assert_allclose(found["mrr"], expected)


def test_ties_are_broken_by_chance_and_always_alike():
    task = completion_task(made(400, shortest=40, longest=41, repeats=False), TRACKS)
    same = np.zeros(len(task.relevant))
    found = completion_figures(task, same)
    np.testing.assert_array_equal(found["hr"], completion_figures(task, same)["hr"])
    assert _within_chance(task, found["hr"])


def test_chance_finds_half():
    task = completion_task(made(400, shortest=40, longest=80), TRACKS)
    assert _within_chance(task, completion_figures(task, random_scores(task, 3))["hr"])
    assert not _within_chance(
        task, completion_figures(task, task.relevant + random_scores(task))["hr"]
    )


def _within_chance(task, hr):
    """The hits of m of 2 m tracks, drawn without replacement: a binomial's spread is wider."""
    relevant = task.candidates.lengths // 2
    low, high = stats.binom.interval(0.999, int(relevant.sum()), 0.5)
    return low <= (hr * relevant).sum() <= high


def test_nan_scores_are_refused():
    with pytest.raises(SslAudioError, match="1 of 2 scores are NaN"):
        completion_figures(task_of([[1, 0]]), np.array([np.nan, 1.0]))
