"""Skip-gram: equations 1 to 3 in float64, gradients by hand against autograd, planted groups."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import Playlists, playlists_of
from ssl_audio.recommenders.models import skipgram
from ssl_audio.recommenders.models.skipgram import (
    SkipGramSettings,
    noise_distribution,
    train_skipgram,
)

SMALL = SkipGramSettings(dimension=6, window=3, negatives=4)


def some_playlists(seed=0, count=30, tracks=25, longest=40):
    rng = np.random.default_rng(seed)
    return playlists_of([rng.integers(0, tracks, rng.integers(1, longest)) for _ in range(count)])


def grouped(count=300, length=20, groups=8, members=12):
    rng = np.random.default_rng(5)
    flat = rng.integers(0, members, (count, length)) * groups + rng.integers(0, groups, (count, 1))
    return playlists_of(flat.tolist()), np.arange(groups * members) % groups


def purity(vectors, groups):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    return (groups[np.argsort(-scores, axis=1)[:, :5]] == groups[:, None]).mean()


def pairs_of(playlists, window):
    """Every (centre, context) of equation 1."""
    for k in range(len(playlists)):
        one = playlists[k].tolist()
        for t, centre in enumerate(one):
            for j in range(-window, window + 1):
                if j != 0 and 0 <= t + j < len(one):
                    yield centre, one[t + j]


@given(st.floats(0, 2), st.lists(st.integers(0, 50), min_size=2, max_size=20))
def test_the_noise_is_a_distribution_of_what_occurs(power, counts):
    counts = np.array([*counts, 1])
    found = noise_distribution(counts, power)
    assert found.sum() == pytest.approx(1) and not found[counts == 0].any()
    seen = counts > 0
    assert np.allclose(found[seen] / found[-1], counts[seen] ** power)


def test_gradients_by_hand_are_those_of_autograd():
    rng = np.random.default_rng(2)
    tables = rng.normal(size=(2, 12, 8)).astype(np.float32)
    targets = rng.permutation(12)[:9].astype(np.int32)
    near, noise, rate = 4, np.float32(2.5), np.float32(0.1)
    inputs, outputs = (torch.tensor(t, dtype=torch.float64, requires_grad=True) for t in tables)
    scores = outputs[torch.from_numpy(targets).long()] @ inputs[5]
    logs = torch.nn.functional.logsigmoid
    (-logs(scores[:near]).sum() - noise * logs(-scores[near:]).sum()).backward()
    stepped = tables.copy()
    scratch = np.empty(9, np.float32), np.empty(8, np.float32)
    skipgram._kernel().update(stepped[0][5], stepped[1], targets, near, 9, noise, rate, *scratch)
    change = (tables - stepped) / rate
    assert np.allclose(change[0], inputs.grad, atol=3e-5)
    assert np.allclose(change[1], outputs.grad, atol=3e-5)


def test_one_slow_pass_is_a_step_down_equation_3():
    """At a small rate, the change of a whole pass is the gradient over all pairs, on average."""
    tracks, rate, times = 12, 1e-4, 40
    playlists = some_playlists(3, 20, tracks, 12)
    options = replace(SMALL, window=2, epochs=1, rate=rate, least_rate=rate, draws=400)
    probability = noise_distribution(np.bincount(playlists.tracks, minlength=tracks), 0.75)
    inputs = torch.tensor(skipgram._first_vectors(tracks, options), dtype=torch.float64)
    outputs = torch.zeros_like(inputs, requires_grad=True)
    logs = torch.nn.functional.logsigmoid
    loss = torch.zeros((), dtype=torch.float64)
    for centre, context in pairs_of(playlists, 2):
        scores = outputs @ inputs[centre]
        loss = loss - logs(scores[context])
        loss = loss - options.negatives * (torch.tensor(probability) * logs(-scores)).sum()
    loss.backward()
    found = np.zeros((tracks, options.dimension))
    for step in range(times):
        found += outputs_of(playlists, tracks, options, step)
    expected = -rate * outputs.grad.numpy()
    error = np.linalg.norm(found / times - expected) / np.linalg.norm(expected)
    assert error < 0.02


def outputs_of(playlists, tracks, options, step):
    """The output table after one chunk, which is all, whose noise is of a step."""
    corpus = skipgram._Corpus(playlists, tracks, options)
    inputs = skipgram._first_vectors(tracks, options)
    outputs = np.zeros_like(inputs)
    assert corpus.chunks == 1
    skipgram._chunk(map, 1, corpus, inputs, outputs, options.rate, step)
    return outputs


@pytest.mark.parametrize("shrink", [False, True])
def test_planted_groups_are_found(shrink):
    playlists, groups = grouped()
    options = SkipGramSettings(dimension=16, shrink=shrink, epochs=8)
    assert purity(train_skipgram(playlists, len(groups), options), groups) > 0.95


def test_vectors_are_the_same_for_any_number_of_workers():
    playlists, groups = grouped(150)
    options = SkipGramSettings(dimension=8, epochs=2, shrink=True)
    one = train_skipgram(playlists, len(groups), options, workers=1)
    for workers in (2, 4, 9):
        assert np.array_equal(one, train_skipgram(playlists, len(groups), options, workers))
    other = train_skipgram(playlists, len(groups), replace(options, seed=1), workers=1)
    assert not np.allclose(one, other)


def test_tracks_in_no_playlist_have_no_vector():
    playlists = playlists_of([[3, 4, 3, 4], [4], []])
    vectors = train_skipgram(playlists, 7, SkipGramSettings(dimension=4, epochs=1))
    assert vectors.any(1).tolist() == [False, False, False, True, True, False, False]
    assert np.isfinite(vectors).all()


def test_parts_have_about_as_many_positions_each():
    counts = (1e5 / np.arange(1, 2001)).astype(int)
    parts = skipgram._parts(counts)
    each = np.bincount(parts, counts)
    assert len(each) == skipgram.PARTS and each.max() < 1.6 * each.min()


def test_nothing_to_learn_from_is_refused():
    empty = Playlists(np.zeros(0, np.int32), np.zeros(1, np.int64), [])
    with pytest.raises(SslAudioError, match="no track"):
        train_skipgram(empty, 5, SMALL)
    with pytest.raises(SslAudioError, match="window=0"):
        SkipGramSettings(window=0)
