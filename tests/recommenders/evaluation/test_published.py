"""Protocols as published, against figures by hand."""

import numpy as np
import pytest

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.evaluation.published import (
    next_item_figures,
    next_items,
    sampled_candidates,
    sampled_figures,
)
from ssl_audio.recommenders.evaluation.sessions import NextSessionTask

ITEMS = 40
COUNTS = np.array([0, *[3] * (ITEMS - 1)])  # item 0 is in no training session


class ByNumber:
    """An item's score is its number, over a step; after a history, twice its last item first."""

    def __init__(self, step: int = 1) -> None:
        self.step = step

    def score(self, histories, candidates):
        if candidates is not None:
            return (candidates.tracks // self.step).astype(np.float32)
        scores = np.tile(np.arange(ITEMS, dtype=np.float32), (len(histories), 1))
        last = histories.tracks[histories.offsets[1:] - 1]
        scores[np.arange(len(histories)), np.minimum(2 * last, ITEMS - 1)] = 100
        return scores


def task(truth):
    return NextSessionTask(playlists_of([[1, 2], [3], [38, 5]]), playlists_of(truth))


def test_negatives_are_items_of_training_that_the_user_has_not_had():
    chosen = task([[39], [7], [36]])
    found = sampled_candidates(chosen, COUNTS, seed=3)
    assert found.lengths.tolist() == [101] * 3
    for user, (item, had) in enumerate([(39, {1, 2, 39}), (7, {3, 7}), (36, {38, 5, 36})]):
        first, *drawn = found[user].tolist()
        assert first == item and not {0, *had} & set(drawn)
    drawn = np.concatenate([found[k][1:] for k in range(3)])
    assert len(set(drawn.tolist())) == ITEMS - 1  # all but item 0
    again = sampled_candidates(chosen, COUNTS, seed=3)
    np.testing.assert_array_equal(found.tracks, again.tracks)


def test_sampled_metrics_are_of_the_rank_among_the_candidates():
    """No, three and eleven negatives have higher numbers."""
    chosen = task([[39], [30], [20]])
    lists = [[39, *[5] * 100], [30, *[31, 35, 36], *[4] * 97], [20, *[33] * 11, *[1] * 89]]
    found = sampled_figures(chosen, playlists_of(lists), ByNumber())
    np.testing.assert_array_equal(found["sampled_hr@10"], [1, 1, 0])
    np.testing.assert_allclose(found["sampled_ndcg@10"], [1, 1 / np.log2(5), 0])
    level = sampled_figures(chosen, playlists_of(lists), ByNumber(step=50))
    assert not level["sampled_hr@10"].any()  # all scores are equal


def test_a_user_with_all_items_is_refused():
    few = np.array([1, 1, 1])
    everything = NextSessionTask(playlists_of([[0, 1]]), playlists_of([[2]]))
    with pytest.raises(SslAudioError, match="all items"):
        sampled_candidates(everything, few, 0)


def test_each_position_of_a_held_out_session_is_predicted_from_those_before():
    starts, following = next_items(task([[4, 0, 8, 6], [9], [11, 12]]), COUNTS)
    lists = [starts[k].tolist() for k in range(len(starts))]
    assert lists == [[4], [4, 8], [11]] and following.tolist() == [8, 6, 12]
    with pytest.raises(SslAudioError, match="two items"):
        next_items(task([[4, 0], [9], [11]]), COUNTS)


def test_next_item_metrics_are_of_the_rank_among_all_items():
    """8 is first after 4; 38 comes after 39 and 16, or 32; of 40 items, 19 are above 20."""
    starts = playlists_of([[4], [8], [16], [5, 39]])
    following = np.array([8, 38, 38, 20])
    found = next_item_figures(starts, following, ITEMS, ByNumber())
    ranks = np.array([1, 3, 3, 20])
    np.testing.assert_array_equal(found["next_recall@20"], [1, 1, 1, 1])
    np.testing.assert_allclose(found["next_mrr@20"], 1 / ranks)
    late = next_item_figures(starts, np.array([19, 19, 19, 19]), ITEMS, ByNumber())
    assert not late["next_recall@20"].any() and not late["next_mrr@20"].any()
