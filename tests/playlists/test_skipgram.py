"""Skip-gram: equations 1 to 3 in float64, gradients by hand against autograd, planted groups."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssl_audio.errors import SslAudioError
from ssl_audio.playlists import skipgram
from ssl_audio.playlists.collection import Playlists, playlists_of
from ssl_audio.playlists.skipgram import (
    SkipGram,
    SkipGramBatches,
    SkipGramSettings,
    noise_distribution,
    train_skipgram,
)

SMALL = SkipGramSettings(dimension=6, window=3, negatives=4, positions=128, shared=32)


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


def with_random_tables(model, seed=1):
    torch.manual_seed(seed)
    for table in (model.input.weight, model.output.weight):
        torch.nn.init.normal_(table, std=0.7)
    return model


def pairs_of(playlists, window):
    """Every (centre, context) of equation 1."""
    for k in range(len(playlists)):
        one = playlists[k].tolist()
        for t, centre in enumerate(one):
            for j in range(-window, window + 1):
                if j != 0 and 0 <= t + j < len(one):
                    yield centre, one[t + j]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_loss_of_all_batches_is_equation_1_over_all_pairs():
    playlists = some_playlists()
    batches = SkipGramBatches(playlists, 25, SMALL)
    model = with_random_tables(SkipGram(25, SMALL))
    inputs = model.input.weight.detach().numpy().astype(np.float64)
    outputs = model.output.weight.detach().numpy().astype(np.float64)
    noise = batches(0).noise
    share = SMALL.negatives / len(noise)
    total = 0.0
    for centre, context in pairs_of(playlists, SMALL.window):
        total -= np.log(sigmoid(outputs[context] @ inputs[centre]))
        total -= share * sum(np.log(sigmoid(-outputs[n] @ inputs[centre])) for n in noise.numpy())
    found = 0.0
    for step in range(batches.steps_an_epoch):
        batch = batches(step)._replace(noise=noise)
        found += float(model.loss(batch)["total"].detach() * batch.length)
    assert batches.steps_an_epoch > 1
    assert found == pytest.approx(total, rel=1e-5)


def test_the_mean_over_pairs_is_the_total_over_their_number():
    playlists = playlists_of([[0, 1, 2], [3], [4, 1]])
    losses = with_random_tables(SkipGram(5, SMALL)).loss(SkipGramBatches(playlists, 5, SMALL)(0))
    pairs = len(list(pairs_of(playlists, SMALL.window)))
    assert float(losses["pair"]) * pairs == pytest.approx(float(losses["total"].detach()) * 6)


def test_shared_noise_has_the_expectation_of_equation_3():
    playlists = some_playlists()
    options = replace(SMALL, positions=10_000, shared=20_000)
    model = with_random_tables(SkipGram(25, options))
    batches = SkipGramBatches(playlists, 25, options)
    probability = noise_distribution(np.bincount(playlists.tracks, minlength=25), 0.75)
    inputs, outputs = (t.detach().numpy() for t in (model.input.weight, model.output.weight))
    near = np.log(sigmoid(inputs @ outputs.T))
    noise = np.log(sigmoid(-inputs @ outputs.T)) @ probability
    expected = -sum(
        near[centre, context] + options.negatives * noise[centre]
        for centre, context in pairs_of(playlists, options.window)
    )
    assert batches.steps_an_epoch == 1
    with torch.no_grad():
        found = model.loss(batches(0))["total"]
    assert float(found) * len(playlists.tracks) == pytest.approx(expected, rel=0.005)


@given(st.floats(0, 2), st.lists(st.integers(0, 50), min_size=2, max_size=20))
def test_the_noise_is_a_distribution_of_what_occurs(power, counts):
    counts = np.array([*counts, 1])
    found = noise_distribution(counts, power)
    assert found.sum() == pytest.approx(1) and not found[counts == 0].any()
    seen = counts > 0
    assert np.allclose(found[seen] / found[-1], counts[seen] ** power)


def test_an_epoch_takes_each_position_once_and_batches_follow_from_the_step():
    playlists = some_playlists(count=60)
    batches = SkipGramBatches(playlists, 25, SMALL)
    steps = batches.steps_an_epoch
    assert sum(int(batches(k).length) for k in range(steps)) == len(playlists.tracks)
    again = SkipGramBatches(playlists, 25, SMALL)
    for step in (2 * steps, 1, 0):
        for a, b in zip(batches(step), again(step), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(batches(0).noise, batches(1).noise)


def test_shrunk_windows_take_nearer_tracks_more_often():
    playlists = playlists_of([list(range(64))] * 40)
    wanted = SkipGramBatches(playlists, 64, replace(SMALL, shrink=True, positions=2560))(0).wanted
    counts = wanted.sum((0, 1)).numpy()
    share = counts / counts.max()
    assert counts[3] == 0 and np.allclose(share, [1 / 3, 2 / 3, 1, 0, 1, 2 / 3, 1 / 3], atol=0.06)


@pytest.mark.parametrize("sparse", [False, True])
def test_the_autograd_form_finds_planted_groups(sparse):
    playlists, groups = grouped()
    options = replace(SMALL, dimension=16, sparse=sparse, positions=1024, shared=128)
    batches = SkipGramBatches(playlists, len(groups), options)
    model = SkipGram(len(groups), options)
    (optimizer,) = model.optimizers()
    losses = []
    for step in range(100):
        optimizer.zero_grad()
        loss = model.loss(batches(step))
        loss["total"].backward()
        optimizer.step()
        losses.append(float(loss["pair"].detach()))
    assert losses[0] == pytest.approx((1 + SMALL.negatives) * np.log(2), rel=1e-3)
    assert losses[-1] < 0.75 * losses[0]
    assert purity(model.vectors(), groups) > 0.95
    assert model.input.weight.grad.is_sparse == sparse


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


def test_one_slow_pass_of_the_fast_form_is_a_step_down_equation_3():
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
def test_the_fast_form_finds_planted_groups(shrink):
    playlists, groups = grouped()
    options = SkipGramSettings(dimension=16, shrink=shrink, epochs=8)
    assert purity(train_skipgram(playlists, len(groups), options), groups) > 0.95


def test_the_fast_form_is_the_same_for_any_number_of_workers():
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
        SkipGramBatches(empty, 5, SMALL)
    with pytest.raises(SslAudioError, match="no track"):
        train_skipgram(empty, 5, SMALL)
    with pytest.raises(SslAudioError, match="window=0"):
        SkipGramSettings(window=0)
