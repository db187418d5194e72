"""Ranked lists from the whole catalogue, against sorting."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.recommenders.data.collection import Playlists, playlists_of
from ssl_audio.recommenders.evaluation import ranking
from ssl_audio.recommenders.evaluation.ranking import ranked
from ssl_audio.recommenders.scorers import Cosine

TRACKS = 80


@dataclass
class Scores:
    """A recommender that scores all tracks by a function."""

    of: Callable[[Playlists], np.ndarray]

    def score(self, histories: Playlists, candidates: Playlists | None) -> np.ndarray:
        return self.of(histories).copy()


def some_playlists(count: int = 12, seed: int = 0) -> Playlists:
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(TRACKS)[: rng.integers(6, 20)].tolist() for _ in range(count)]
    return playlists_of(lists, [f"list {k}" for k in range(count)])


@given(st.integers(0, 99), st.integers(1, TRACKS), st.integers(1, 600))
@settings(deadline=None, max_examples=30)
def test_ranked_is_the_sorted_rest_of_the_candidates(seed: int, candidates: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    seeds = some_playlists(5, seed)
    rows = rng.permutation(TRACKS)[:candidates]
    scores = rng.normal(size=(5, TRACKS)).astype(np.float32)
    scores[2:] = scores[2:].round()  # many ties
    place = {name: n for n, name in enumerate(seeds.ids)}
    found = ranked(Scores(lambda some: scores[[place[n] for n in some.ids]]), seeds, rows, k)
    assert found.shape == (5, k)
    for own, line, own_tracks in zip(scores[:, rows], found, seeds, strict=True):
        best = [rows[c] for c in np.argsort(-own, kind="stable") if rows[c] not in own_tracks][:k]
        assert line.tolist() == best + [-1] * (k - len(best))


@pytest.mark.parametrize("cells", [1, 3 * TRACKS, 10**6])
def test_the_size_of_a_block_makes_no_difference(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.random.default_rng(1).normal(size=(TRACKS, 6))
    rows, seeds, largest = np.arange(TRACKS), some_playlists(), 0
    whole = ranked(Cosine(vectors), seeds, rows, 20)
    monkeypatch.setattr(ranking, "CELLS", cells)

    def watched(some: Playlists) -> np.ndarray:
        nonlocal largest
        made = Cosine(vectors).score(some, None)
        largest = max(largest, made.size)
        return made

    np.testing.assert_array_equal(ranked(Scores(watched), seeds, rows, 20), whole)
    assert largest <= max(cells, TRACKS)


def test_ties_go_to_the_earlier_row_and_short_lists_are_filled() -> None:
    seeds, rows = playlists_of([[1], [0]]), np.array([3, 0, 1, 2])

    constant = Scores(lambda histories: np.zeros((len(histories), 4), np.float32))
    assert ranked(constant, seeds, rows, 3).tolist() == [[3, 0, 2], [3, 1, 2]]
    assert ranked(constant, seeds, rows, 5)[0].tolist() == [3, 0, 2, -1, -1]
