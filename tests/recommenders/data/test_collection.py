"""Names as numbers, playlists as a matrix."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ssl_audio.recommenders.data.collection import codes_of, playlists_of


@given(st.lists(st.sampled_from(["", "b", "a", "long name", "z é", "B"]), max_size=30))
def test_codes_are_rows_of_sorted_values_and_no_name_has_none(names):
    codes, values = codes_of(names)
    assert codes.dtype == np.int32 and codes.shape == (len(names),)
    assert values == sorted(set(names) - {""})
    assert [values[k] if k >= 0 else "" for k in codes] == names


def test_one_long_name_takes_no_room_at_every_place():
    """An array of strings would take 400 MB here."""
    codes, values = codes_of(["x" * 1_000_000, *["y"] * 99])
    assert codes.nbytes == 400 and codes.tolist() == [0, *[1] * 99] and values[1] == "y"


def test_a_matrix_counts_positions_by_their_recency():
    playlists = playlists_of([[2, 0, 2], [], [1], [0, 1]])
    expected = [[0.5, 0, 1.25], [0, 0, 0], [0, 1, 0], [0.5, 1, 0]]
    assert playlists.matrix(3, 0.5).toarray().tolist() == expected
    part = playlists.take(np.array([3, 0])).keep(np.array([True, True, True, True, False]))
    assert part.matrix(3, 0.5).toarray().tolist() == [[0.5, 1, 0], [1, 0, 0.5]]
    assert playlists_of([[2, 0, 2]]).matrix(3).toarray().tolist() == [[1, 0, 2]]
    assert playlists.held(3).toarray().tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 0]]
    assert playlists.held(3, 0.5).toarray().tolist()[0] == [0.5, 0, 1]
    assert playlists.tracks.tolist() == [2, 0, 2, 1, 0, 1]  # as before
    assert playlists.distinct(3).tracks.tolist() == [0, 2, 1, 0, 1]
