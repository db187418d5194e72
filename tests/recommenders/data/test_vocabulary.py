"""Playlists as rows of tokens."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.data.vocabulary import (
    END,
    SPECIALS,
    START,
    UNKNOWN,
    Vocabulary,
    vocabulary_of,
)

LISTS = st.lists(st.lists(st.integers(0, 11), max_size=9), min_size=1, max_size=6)


def all_of(catalogue: int) -> Vocabulary:
    return vocabulary_of(playlists_of([list(range(catalogue))]), catalogue)


def decoded(vocabulary: Vocabulary, tokens: np.ndarray) -> list[list[int]]:
    """Catalogue rows of the tracks in each row of tokens."""
    return [vocabulary.rows[row[row >= SPECIALS]].tolist() for row in tokens]


def test_tracks_follow_the_three_special_tokens_in_the_catalogues_order() -> None:
    vocabulary = vocabulary_of(playlists_of([[7, 2, 2], [2, 7]]), 9)
    assert vocabulary.rows.tolist() == [-1, -1, -1, 2, 7]
    assert vocabulary.size == 5
    assert vocabulary.of(np.array([2, 5, 7, -1])).tolist() == [3, UNKNOWN, 4, UNKNOWN]


def test_a_row_is_start_tracks_and_padding() -> None:
    vocabulary = vocabulary_of(playlists_of([[0, 1, 3]]), 4)
    rows = vocabulary.encode(playlists_of([[3, 2, 0], []]), context=4)
    assert rows.dtype == np.int32
    assert rows.tolist() == [[START, 5, UNKNOWN, 3, END], [START, END, END, END, END]]


@given(LISTS, st.integers(1, 12))
@settings(deadline=None)
def test_encoded_playlists_are_decoded(lists: list[list[int]], context: int) -> None:
    vocabulary = all_of(12)
    first = vocabulary.encode(playlists_of(lists), context)
    assert decoded(vocabulary, first) == [one[:context] for one in lists]
    last = vocabulary.encode(playlists_of(lists), context, "last")
    assert decoded(vocabulary, last) == [one[-context:] for one in lists]


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 99))
@settings(deadline=None)
def test_a_random_window_is_a_run_of_the_playlist(length: int, context: int, seed: int) -> None:
    vocabulary = all_of(30)
    rows = vocabulary.encode(
        playlists_of([list(range(length))] * 3), context, np.random.default_rng(seed)
    )
    for part in decoded(vocabulary, rows):
        assert part == list(range(part[0], part[0] + min(length, context)))


def test_every_window_of_a_long_playlist_is_drawn() -> None:
    rows = all_of(10).encode(playlists_of([list(range(10))] * 200), 4, np.random.default_rng(0))
    assert set(rows[:, 1] - SPECIALS) == set(range(7))


def test_appended_tracks_follow_the_known_ones_without_embeddings() -> None:
    vocabulary = vocabulary_of(playlists_of([[1, 3]]), 5)
    extended = vocabulary.extended(np.array([True, True, False, False, True]))
    assert extended.rows.tolist() == [-1, -1, -1, 1, 3, 0, 4]
    assert (extended.size, len(extended.rows)) == (5, 7)
    assert extended.of(np.arange(5)).tolist() == [5, 3, UNKNOWN, 4, 6]


def test_share_of_unknown_tracks() -> None:
    vocabulary = vocabulary_of(playlists_of([[0, 0, 1]]), 5)
    assert vocabulary.unknown_share(playlists_of([[0, 1, 3, 4], [0, 3, 3, 3]])) == 5 / 8
    assert vocabulary.unknown_share(playlists_of([[]])) == 0.0
