"""Compiled skip-gram: gradients against autograd, equation 3 in float64, planted groups."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.baselines import sgns
from ssl_audio.recommenders.baselines.sgns import SgnsSettings, sgns_vectors
from ssl_audio.recommenders.data.collection import Playlists, playlists_of
from ssl_audio.recommenders.models.skipgram import noise_distribution

SMALL = SgnsSettings(dimensions=6, window=3, negatives=4)


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
    sgns.update(stepped[0][5], stepped[1], targets, near, 9, noise, rate, *scratch)
    change = (tables - stepped) / rate
    assert np.allclose(change[0], inputs.grad, atol=3e-5)
    assert np.allclose(change[1], outputs.grad, atol=3e-5)


def test_one_slow_pass_is_a_step_down_equation_3():
    """At a small rate, the change of a whole pass is the gradient over all pairs, on average."""
    tracks, rate, times = 12, 1e-4, 40
    playlists = some_playlists(3, 20, tracks, 12)
    options = replace(
        SMALL, window=2, epochs=1, learning_rate=rate, min_learning_rate=rate, shared_negatives=400
    )
    probability = noise_distribution(np.bincount(playlists.tracks, minlength=tracks))
    inputs = torch.tensor(sgns._first_vectors(tracks, options), dtype=torch.float64)
    outputs = torch.zeros_like(inputs, requires_grad=True)
    logs = torch.nn.functional.logsigmoid
    loss = torch.zeros((), dtype=torch.float64)
    for centre, context in pairs_of(playlists, 2):
        scores = outputs @ inputs[centre]
        loss = loss - logs(scores[context])
        loss = loss - options.negatives * (torch.tensor(probability) * logs(-scores)).sum()
    loss.backward()
    found = np.zeros((tracks, options.dimensions))
    for step in range(times):
        found += outputs_of(playlists, tracks, options, step)
    expected = -rate * outputs.grad.numpy()
    error = np.linalg.norm(found / times - expected) / np.linalg.norm(expected)
    assert error < 0.02


def outputs_of(playlists, tracks, options, step):
    """The output table after one chunk, which is all, whose noise is of a step."""
    corpus = sgns._Corpus(playlists, tracks, options)
    inputs = sgns._first_vectors(tracks, options)
    outputs = np.zeros_like(inputs)
    assert corpus.chunks == 1
    sgns._train_chunk(map, 1, corpus, inputs, outputs, options.learning_rate, step)
    return outputs


def test_planted_groups_are_found():
    playlists, groups = grouped()
    options = SgnsSettings(dimensions=16, epochs=8)
    assert purity(sgns_vectors(playlists, len(groups), options)[0], groups) > 0.95


def test_vectors_are_the_same_for_any_number_of_workers():
    playlists, groups = grouped(150)
    options = SgnsSettings(dimensions=8, epochs=2)
    one = sgns_vectors(playlists, len(groups), options, workers=1)
    for workers in (2, 4, 9):
        assert np.array_equal(one, sgns_vectors(playlists, len(groups), options, workers))
    other = sgns_vectors(playlists, len(groups), replace(options, seed=1), workers=1)
    assert not np.allclose(one, other)


def test_tracks_in_no_playlist_have_no_vector():
    playlists = playlists_of([[3, 4, 3, 4], [4], []])
    vectors = sgns_vectors(playlists, 7, SgnsSettings(dimensions=4, epochs=1))
    assert (vectors.any(2) == [False, False, False, True, True, False, False]).all()
    assert np.isfinite(vectors).all()


def test_parts_have_about_as_many_positions_each():
    counts = (1e5 / np.arange(1, 2001)).astype(int)
    parts = sgns._parts(counts)
    each = np.bincount(parts, counts)
    assert len(each) == sgns.PARTS and each.max() < 1.6 * each.min()


def test_nothing_to_learn_from_is_refused():
    empty = Playlists(np.zeros(0, np.int32), np.zeros(1, np.int64), [])
    with pytest.raises(SslAudioError, match="no track"):
        sgns_vectors(empty, 5, SMALL)
