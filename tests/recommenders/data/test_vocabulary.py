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
