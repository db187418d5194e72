"""Batches of the playlist transformer."""

from typing import Any

import numpy as np
import pytest
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
from ssl_audio.recommenders.models.transformer_batches import TransformerBatches
from ssl_audio.settings.recommend import TransformerSettings


def all_of(catalogue: int) -> Vocabulary:
    return vocabulary_of(playlists_of([list(range(catalogue))]), catalogue)


def test_tracks_become_unknown_at_the_rate_given_and_nothing_else_does() -> None:
    lists = playlists_of([list(range(30))] * 400)
    batches = TransformerBatches(
        lists, all_of(30), TransformerSettings(batch_size=400, context=49), unknown_rate=0.15
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
        lists, all_of(playlists), TransformerSettings(batch_size=size, context=2), seed=seed
    )
    steps = -(-3 * playlists // size)
    read = np.concatenate([batches(s).tokens[:, 1].numpy() for s in range(steps)]) - SPECIALS
    for epoch in range(3):
        one = read[epoch * playlists : (epoch + 1) * playlists]
        assert sorted(one) == list(range(playlists))


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    lists = playlists_of([np.random.default_rng(k).integers(0, 50, 70).tolist() for k in range(9)])
    chosen = TransformerSettings(batch_size=4, context=20, negatives=20)
    in_order = TransformerBatches(lists, all_of(50), chosen, 0.2, seed=3)
    former = [in_order(step) for step in range(12)]
    fresh = TransformerBatches(lists, all_of(50), chosen, 0.2, seed=3)
    for step in (11, 2, 7, 2):
        assert (fresh(step).tokens == former[step].tokens).all()
        assert (fresh(step).negatives == former[step].negatives).all()
    other = TransformerBatches(lists, all_of(50), chosen, 0.2, seed=4)
    assert not (other(0).tokens == former[0].tokens).all()


def test_negatives_are_distinct_uniform_and_never_start() -> None:
    batches = TransformerBatches(
        playlists_of([[0]]), all_of(20), TransformerSettings(batch_size=1, context=1, negatives=6)
    )
    drawn = np.stack([batches(step).negatives.numpy() for step in range(2000)])
    assert all(len(set(row)) == 6 for row in drawn)
    counts = np.bincount(drawn.ravel(), minlength=23)
    assert counts[START] == 0 and len(counts) == 23
    expected = 2000 * 6 / 22
    assert np.abs(counts[1:] - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize(
    ("negatives", "tracks", "drawn"),
    [(99, 4, None), (6, 4, None), (5, 4, 5), ("auto", 19_998, None), ("auto", 19_999, 1000)],
)
def test_a_small_vocabulary_is_taken_whole(negatives: Any, tracks: int, drawn: int | None) -> None:
    """`<unk>` and `<eop>` beside the tracks."""
    chosen = TransformerSettings(negatives=negatives)
    found = TransformerBatches(playlists_of([[0, 1]]), all_of(tracks), chosen)(0).negatives
    assert found is None if drawn is None else len(found) == drawn
