"""Ranking of the whole catalogue against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.recommenders.data.collection import Playlists, playlists_of
from ssl_audio.recommenders.data.vocabulary import vocabulary_of
from ssl_audio.recommenders.evaluation import next_track
from ssl_audio.recommenders.evaluation.completion import completion_task, scores_by_cosine
from ssl_audio.recommenders.evaluation.next_track import (
    COLUMNS,
    NextTrackTask,
    by_chance,
    by_cosine,
    by_logits,
    by_popularity,
    next_track_figures,
    next_track_task,
    ranked,
)
from ssl_audio.recommenders.models.track_embedding import SideInformation
from ssl_audio.recommenders.models.transformer import PlaylistTransformer
from ssl_audio.settings.recommend import TransformerSettings

TRACKS = 80


def some_playlists(count: int = 12, seed: int = 0) -> Playlists:
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(TRACKS)[: rng.integers(6, 20)].tolist() for _ in range(count)]
    return playlists_of(lists, [f"list {k}" for k in range(count)])


def everywhere() -> np.ndarray:
    return np.ones(TRACKS, bool)


@given(st.integers(0, 99), st.integers(1, TRACKS), st.integers(1, 600))
@settings(deadline=None, max_examples=30)
def test_ranked_is_the_sorted_rest_of_the_candidates(seed: int, candidates: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    seeds = some_playlists(5, seed)
    rows = rng.permutation(TRACKS)[:candidates]
    scores = rng.normal(size=(5, candidates)).astype(np.float32)
    place = {name: n for n, name in enumerate(seeds.ids)}

    def score(some: Playlists) -> np.ndarray:
        return scores[[place[name] for name in some.ids]].copy()

    found = ranked(score, seeds, rows, k)
    assert found.shape == (5, k)
    for own, line, told in zip(scores, found, seeds, strict=True):
        best = [rows[c] for c in np.argsort(-own) if rows[c] not in told][:k]
        assert line.tolist() == best + [-1] * (k - len(best))


@pytest.mark.parametrize("cells", [1, 3 * TRACKS, 10**6])
def test_lists_are_the_same_however_many_are_made_at_a_time(
    cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.random.default_rng(1).normal(size=(TRACKS, 6))
    rows, seeds, largest = np.arange(TRACKS), some_playlists(), 0
    whole = ranked(by_cosine(vectors, rows), seeds, rows, 20)
    monkeypatch.setattr(next_track, "CELLS", cells)
    score = by_cosine(vectors, rows)

    def watched(some: Playlists) -> np.ndarray:
        nonlocal largest
        made = score(some)
        largest = max(largest, made.size)
        return made

    np.testing.assert_array_equal(ranked(watched, seeds, rows, 20), whole)
    assert largest <= max(cells, TRACKS)


def test_the_task_goes_on_where_the_seeds_end() -> None:
    playlists = playlists_of([[3, 1, 3, 4, 1, 5, 5, 9], [2, 7, 1], [8, 6, 8, 0, 2]], list("abc"))
    completion = completion_task(playlists, TRACKS, least=4)
    task = next_track_task(completion, playlists, everywhere())
    assert task.seeds.ids == task.truth.ids == ["a", "c"]
    assert [one.tolist() for one in task.seeds] == [[3, 1], [8, 6]]
    assert [one.tolist() for one in task.truth] == [[4, 5, 9], [0, 2]]
    assert sorted(task.rows) == list(range(TRACKS)) != task.rows.tolist()


def test_at_most_so_many_playlists_and_only_candidates() -> None:
    playlists = some_playlists(30)
    pool = np.zeros(TRACKS, bool)
    pool[playlists.tracks] = True
    completion = completion_task(playlists, TRACKS, least=6)
    task = next_track_task(completion, playlists, pool, seed=3, most=7)
    assert len(task) == 7 and set(task.truth.ids) < set(playlists.ids)
    assert sorted(task.rows) == np.flatnonzero(pool).tolist()
    again = next_track_task(completion, playlists, pool, seed=3, most=7)
    assert again.seeds.ids == task.seeds.ids and (again.rows == task.rows).all()
    other = next_track_task(completion, playlists, pool, seed=4, most=7)
    assert other.seeds.ids != task.seeds.ids


def test_cosine_is_that_of_the_completion_table() -> None:
    """Which orders the same candidates the same way; a track without a vector is at 0."""
    vectors = np.random.default_rng(2).normal(size=(TRACKS, 5)).astype(np.float32)
    vectors[[4, 11]] = 0
    playlists = some_playlists()
    task = completion_task(playlists, TRACKS, least=6)
    rows = np.random.default_rng(3).permutation(TRACKS)
    scores = by_cosine(vectors, rows)(task.seeds)
    wanted = scores_by_cosine(vectors, task)
    column = np.argsort(rows)
    own = scores[task.candidates.owners, column[task.candidates.tracks]]
    lengths = [np.linalg.norm(vectors[seeds].sum(0)) for seeds in task.seeds]
    np.testing.assert_allclose(own, wanted * np.repeat(lengths, task.candidates.lengths), atol=1e-5)
    assert (scores[:, column[[4, 11]]] == 0).all()


@pytest.mark.parametrize("has_audio", [False, True])
def test_logits_are_those_of_the_completion_table(has_audio: bool) -> None:
    """Tracks from 60 on are in no playlist: known by their sound, or as `<unk>`."""
    audio = np.random.default_rng(0).normal(size=(TRACKS, 4)).astype(np.float32)
    model = PlaylistTransformer(
        vocabulary_of(playlists_of([list(range(60))]), TRACKS),
        TransformerSettings(layers=1, heads=2, dimensions=16, feed_forward=16, context=6),
        SideInformation(audio) if has_audio else None,
    ).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape))
    seeds, rows = some_playlists(), np.random.default_rng(1).permutation(TRACKS)
    scores = by_logits(model, rows)(seeds)
    candidates = playlists_of([rows.tolist()] * len(seeds))
    wanted = model.scores(seeds, candidates).reshape(len(seeds), TRACKS)
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    if has_audio:
        plain = model.last_hidden(seeds) @ model.output_vectors(rows).T
        np.testing.assert_allclose(scores, plain, atol=1e-5)


def test_figures_of_a_list_made_by_hand() -> None:
    """Popularity ranks 0, 1, 2, ...; the seeds are passed over, so that 30 is the 29th."""
    seeds = playlists_of([[0], [1, 2]])
    truth = playlists_of([[1, 2, 70], [30, 0]])
    task = NextTrackTask(seeds, truth, np.random.default_rng(0).permutation(TRACKS))
    figures = next_track_figures(task, by_popularity(np.arange(TRACKS, 0, -1), task.rows))
    assert list(figures) == [column["key"] for column in COLUMNS]
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


def test_artists_have_a_column_where_any_is_known() -> None:
    playlists = some_playlists()
    completion = completion_task(playlists, TRACKS, least=6)
    plain, nameless, known = (
        next_track_task(completion, playlists, everywhere(), artists=artists)
        for artists in (None, [""] * TRACKS, ["", *(f"artist {k % 5}" for k in range(TRACKS - 1))])
    )
    assert plain.columns() == nameless.columns() == COLUMNS
    counts = np.arange(TRACKS)
    without = next_track_figures(plain, by_popularity(counts, plain.rows))
    figures = next_track_figures(known, by_popularity(counts, known.rows))
    assert list(figures) == [column["key"] for column in known.columns()]
    assert set(figures) - set(without) == {"r_precision_artist"}
    for key, values in without.items():
        np.testing.assert_array_equal(figures[key], values)
    lists = ranked(by_popularity(counts, known.rows), known.seeds, known.rows)
    for k, truth in enumerate(known.truth):
        shared = {(t - 1) % 5 for t in lists[k, : len(truth)] if t} & {
            (t - 1) % 5 for t in truth if t
        }
        wanted = figures["r_precision"][k] + 0.25 * len(shared) / len(truth)
        assert figures["r_precision_artist"][k] == pytest.approx(wanted)


def test_chance_finds_the_next_track_as_often_as_chance_does() -> None:
    playlists = some_playlists(1500)
    completion = completion_task(playlists, TRACKS, least=6)
    task = next_track_task(completion, playlists, everywhere())
    figures = next_track_figures(task, by_chance(0, task.rows))
    left = TRACKS - task.seeds.lengths
    assert figures["next_track@10"].mean() == pytest.approx((10 / left).mean(), abs=0.03)
    again = next_track_figures(task, by_chance(0, task.rows))
    for key, values in figures.items():
        np.testing.assert_array_equal(values, again[key])


def test_ties_do_not_come_in_the_order_of_the_catalogue() -> None:
    """A catalogue in the order of its playlists would let a system that knows nothing find them."""
    playlists = playlists_of([[*range(4 * k, 4 * k + 4)] for k in range(20)])
    completion = completion_task(playlists, TRACKS, least=4)
    task = next_track_task(completion, playlists, everywhere())
    figures = next_track_figures(task, by_popularity(np.ones(TRACKS), task.rows))
    assert figures["next_track@1"].mean() < 0.2
    lists = ranked(by_popularity(np.ones(TRACKS), task.rows), task.seeds, task.rows, 10)
    assert (np.diff(lists, axis=1) < 0).any()


def test_only_clicks_are_better_when_lower() -> None:
    assert [c["key"] for c in COLUMNS if c.get("lower_is_better")] == ["clicks"]
