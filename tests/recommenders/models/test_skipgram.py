"""The skip-gram objective and its pairs against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.models.skipgram import (
    WindowPairs,
    initial_vectors,
    noise_distribution,
    skip_gram_loss,
)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=20))
def test_noise_is_a_distribution_over_the_nodes_that_occur(counts):
    counts = np.array([*counts, 1])
    found = noise_distribution(counts)
    assert found.sum() == pytest.approx(1) and not found[counts == 0].any()
    seen = counts > 0
    assert np.allclose(found[seen] / found[-1], counts[seen] ** 0.75)


def test_initial_vectors_are_word2vecs():
    vectors = initial_vectors(5000, 2, seed=3)
    assert vectors.abs().max() <= 0.25 and abs(float(vectors.mean())) < 5e-3


def test_skip_gram_loss_is_equation_3():
    rng = np.random.default_rng(0)
    centres, contexts = rng.normal(size=(5, 7)), rng.normal(size=(5, 4, 7))
    total = 0.0
    for v, others in zip(centres, contexts, strict=True):
        total += np.log(1 / (1 + np.exp(-others[0] @ v)))
        for noise in others[1:]:
            total += np.log(1 / (1 + np.exp(noise @ v)))
    ours = skip_gram_loss(torch.tensor(centres), torch.tensor(contexts))
    assert float(ours) == pytest.approx(-total / 5, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 8), max_size=9), min_size=1, max_size=6),
    st.integers(1, 12),
)
def test_every_pair_within_a_window_of_a_sequence_has_one_number(lists, window):
    sequences = playlists_of(lists)
    every = set()
    for s, one in enumerate(lists):
        start = int(sequences.offsets[s])
        for i in range(len(one)):
            for j in range(len(one)):
                if i != j and abs(i - j) <= window:
                    every.add((start + i, start + j))
    if not every:
        with pytest.raises(SslAudioError, match="no sequence"):
            WindowPairs(sequences, 9, window)
        return
    pairs = WindowPairs(sequences, 9, window)
    at, offset = pairs.positions(np.arange(len(pairs)))
    assert len(pairs) == len(every)
    assert set(zip(at.tolist(), (at + offset).tolist(), strict=True)) == every
    centres, contexts = pairs.draw(np.random.default_rng(0), 50, 2)
    flat = sequences.tracks
    near = {(int(flat[a]), int(flat[b])) for a, b in every}
    assert set(zip(centres.tolist(), contexts[:, 0].tolist(), strict=True)) <= near


def test_noise_follows_the_counts_to_three_quarters():
    pairs = WindowPairs(playlists_of([[0] * 16, [2] * 81, [3, 0]]), 5, 2)
    _, contexts = pairs.draw(np.random.default_rng(0), 40_000, 2)
    weights = np.array([17, 0, 81, 1, 0]) ** 0.75
    found = np.bincount(contexts[:, 1:].ravel(), minlength=5) / 80_000
    np.testing.assert_allclose(found, weights / weights.sum(), atol=0.006)
