"""Compressed rows against plain lists of lists."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.recommenders.data.csr import (
    bisect_rows,
    group_by,
    kept_offsets,
    offsets_of,
    owners_of,
    places_of,
    run_starts,
    take_rows,
)

row_lists = st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=8)


def compressed(rows):
    offsets = offsets_of(np.array([len(row) for row in rows], np.int64))
    return offsets, np.array([value for row in rows for value in row], np.int64)


@settings(max_examples=80, deadline=None)
@given(row_lists, st.data())
def test_rows_are_those_of_lists(rows, data):
    offsets, values = compressed(rows)
    assert offsets.dtype == np.int64 and len(offsets) == len(rows) + 1
    assert owners_of(offsets).tolist() == [k for k, row in enumerate(rows) for _ in row]
    assert places_of(offsets).tolist() == [p for row in rows for p in range(len(row))]
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=6)) if rows else []
    positions, taken = take_rows(offsets, np.array(chosen, np.int64))
    assert values[positions].tolist() == [value for k in chosen for value in rows[k]]
    assert np.diff(taken).tolist() == [len(rows[k]) for k in chosen]
    kept = kept_offsets(offsets, values % 2 == 0)
    assert np.diff(kept).tolist() == [sum(v % 2 == 0 for v in row) for row in rows]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=20))
def test_groups_and_runs(keys):
    order, offsets = group_by(np.array(keys, np.int64), 5)
    assert order.tolist() == sorted(range(len(keys)), key=lambda k: keys[k])
    assert np.diff(offsets).tolist() == [keys.count(group) for group in range(5)]
    starts = [k == 0 or keys[k] != keys[k - 1] for k in range(len(keys))]
    assert run_starts(np.array(keys, np.int64)).tolist() == starts


@settings(max_examples=80, deadline=None)
@given(row_lists.filter(any), st.integers(-1, 10))
def test_searches_in_sorted_rows(rows, value):
    rows = [sorted(set(row)) for row in rows]
    offsets, values = compressed(rows)
    every = np.arange(len(rows))
    found = bisect_rows(offsets, every, lambda at: values[at] < value)
    assert found.tolist() == [sum(v < value for v in row) for row in rows]
