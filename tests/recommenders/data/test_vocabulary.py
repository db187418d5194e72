"""Playlists as tokens, and training batches as a function of the step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.data.vocabulary import (
    END,
    SPECIALS,
    START,
    UNKNOWN,
    BatchSettings,
    TransformerBatches,
    Vocabulary,
    unknown_rate,
    vocabulary_of,
)

LISTS = st.lists(st.lists(st.integers(0, 11), max_size=9), min_size=1, max_size=6)


def all_of(catalogue: int) -> Vocabulary:
    return vocabulary_of(playlists_of([list(range(catalogue))]), catalogue)


def test_tracks_follow_the_three_special_tokens_in_the_catalogues_order() -> None:
    vocabulary = vocabulary_of(playlists_of([[7, 2, 2], [2, 7, 5]]), 9, least=2)
    assert vocabulary.rows.tolist() == [-1, -1, -1, 2, 7]
    assert vocabulary.size == 5
    assert vocabulary.of(np.array([2, 5, 7, -1])).tolist() == [3, UNKNOWN, 4, UNKNOWN]


def test_a_row_is_start_tracks_and_ends() -> None:
    vocabulary = vocabulary_of(playlists_of([[0, 1, 3]]), 4)
    rows = vocabulary.encode(playlists_of([[3, 2, 0], []]), context=4)
    assert rows.dtype == np.int32
    assert rows.tolist() == [[START, 5, UNKNOWN, 3, END], [START, END, END, END, END]]


@given(LISTS, st.integers(1, 12))
@settings(deadline=None)
def test_decoding_gives_back_what_was_encoded(lists: list[list[int]], context: int) -> None:
    vocabulary = all_of(12)
    first = vocabulary.encode(playlists_of(lists), context)
    assert vocabulary.decode(first) == [one[:context] for one in lists]
    last = vocabulary.encode(playlists_of(lists), context, "last")
    assert vocabulary.decode(last) == [one[-context:] for one in lists]


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 99))
@settings(deadline=None)
def test_a_drawn_part_is_a_run_of_the_playlist(length: int, context: int, seed: int) -> None:
    vocabulary = all_of(30)
    rows = vocabulary.encode(
        playlists_of([list(range(length))] * 3), context, np.random.default_rng(seed)
    )
    for part in vocabulary.decode(rows):
        assert part == list(range(part[0], part[0] + min(length, context)))


def test_every_part_of_a_long_playlist_is_drawn() -> None:
    rows = all_of(10).encode(playlists_of([list(range(10))] * 200), 4, np.random.default_rng(0))
    assert set(rows[:, 1] - SPECIALS) == set(range(7))


def test_cold_tracks_come_after_the_known_ones_and_get_no_embedding() -> None:
    vocabulary = vocabulary_of(playlists_of([[1, 3]]), 5)
    extended = vocabulary.extended(np.array([True, True, False, False, True]))
    assert extended.rows.tolist() == [-1, -1, -1, 1, 3, 0, 4]
    assert (extended.size, len(extended)) == (5, 7)
    assert extended.of(np.arange(5)).tolist() == [5, 3, UNKNOWN, 4, 6]


def test_no_track_often_enough_is_refused() -> None:
    with pytest.raises(SslAudioError, match="lower least="):
        vocabulary_of(playlists_of([[1, 2]]), 3, least=2)


def test_training_meets_as_many_unknown_tracks_as_validation() -> None:
    train = playlists_of([[0, 0, 1, 1, 2]])  # of which one in five is rare
    validation = playlists_of([[0, 1, 3, 4], [0, 3, 3, 3]])  # five in eight are not known
    vocabulary = vocabulary_of(train, 5, least=2)
    rate = unknown_rate(vocabulary, train, validation)
    assert 0.2 + 0.8 * rate == pytest.approx(5 / 8)
    assert unknown_rate(vocabulary, validation, train) == 0.0


def test_tracks_become_unknown_at_the_rate_given_and_nothing_else_does() -> None:
    lists = playlists_of([list(range(30))] * 400)
    batches = TransformerBatches(
        lists, all_of(30), BatchSettings(size=400, context=49, unknown_rate=0.15)
    )
    tokens = batches(0).tokens.numpy()
    assert (tokens[:, 0] == START).all()
    assert (tokens[:, 31:] == END).all()
    share = (tokens[:, 1:31] == UNKNOWN).mean()
    assert abs(share - 0.15) < 4 * np.sqrt(0.15 * 0.85 / 12_000)


@given(st.integers(1, 20), st.integers(1, 7), st.integers(0, 5))
@settings(deadline=None)
def test_each_playlist_comes_once_an_epoch(playlists: int, size: int, seed: int) -> None:
    """The first track tells the playlist; epochs follow each other without a gap."""
    lists = playlists_of([[k] for k in range(playlists)])
    batches = TransformerBatches(
        lists, all_of(playlists), BatchSettings(size=size, context=2, seed=seed)
    )
    steps = -(-3 * playlists // size)
    read = np.concatenate([batches(s).tokens[:, 1].numpy() for s in range(steps)]) - SPECIALS
    for epoch in range(3):
        one = read[epoch * playlists : (epoch + 1) * playlists]
        assert sorted(one) == list(range(playlists))


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    lists = playlists_of([np.random.default_rng(k).integers(0, 50, 70).tolist() for k in range(9)])
    asked = BatchSettings(size=4, context=20, unknown_rate=0.2, seed=3)
    in_order = TransformerBatches(lists, all_of(50), asked)
    former = [in_order(step) for step in range(12)]
    fresh = TransformerBatches(lists, all_of(50), asked)
    for step in (11, 2, 7, 2):
        assert (fresh(step).tokens == former[step].tokens).all()
        assert (fresh(step).negatives == former[step].negatives).all()
    other = TransformerBatches(lists, all_of(50), BatchSettings(4, 20, 20, 0.2, seed=4))
    assert not (other(0).tokens == former[0].tokens).all()


def test_negatives_are_distinct_uniform_and_never_start() -> None:
    batches = TransformerBatches(
        playlists_of([[0]]), all_of(20), BatchSettings(size=1, context=1, negatives=6)
    )
    drawn = np.stack([batches(step).negatives.numpy() for step in range(2000)])
    assert all(len(set(row)) == 6 for row in drawn)
    counts = np.bincount(drawn.ravel(), minlength=23)
    assert counts[START] == 0 and len(counts) == 23
    expected = 2000 * 6 / 22
    assert np.abs(counts[1:] - expected).max() < 5 * np.sqrt(expected)


def test_a_small_vocabulary_is_drawn_whole() -> None:
    batches = TransformerBatches(playlists_of([[0, 1]]), all_of(4), BatchSettings(negatives=99))
    assert sorted(batches(0).negatives.tolist()) == list(range(1, 7))


@pytest.mark.parametrize("wrong", [{"size": 0}, {"negatives": 0}, {"unknown_rate": 1.0}])
def test_settings_that_make_no_batch_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SslAudioError):
        BatchSettings(**wrong)  # type: ignore[arg-type]


def test_no_playlist_is_refused() -> None:
    with pytest.raises(SslAudioError, match="no training playlist"):
        TransformerBatches(playlists_of([]), all_of(3), BatchSettings())
