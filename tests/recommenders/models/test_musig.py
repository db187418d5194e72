"""MUSIG against PyTorch Geometric and the formulas in float64; induction; learning."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ssl_audio.io.errors import CheckpointError
from ssl_audio.recommenders.data.graph import TrackGraph
from ssl_audio.recommenders.data.sampling import PairSampler
from ssl_audio.recommenders.models.musig import Aggregator, Musig, load_musig
from ssl_audio.recommenders.models.musig_training import (
    NO_GENRE,
    MusigTraining,
    PairBatches,
    Pairs,
)
from ssl_audio.recommenders.models.neighbour_means import neighbour_means
from ssl_audio.settings.recommend import MusigSettings

TRACKS, INPUTS = 60, 5
SMALL = MusigSettings(weights=(1, 1, 1), dimensions=16, fan_out=(6, 4), isolated=0.0)


def planted(groups: int = 3, seed: int = 0) -> tuple[TrackGraph, np.ndarray]:
    """Tracks with edges within their group, two of them (the last) without any."""
    rng = np.random.default_rng(seed)
    group = np.arange(TRACKS) % groups
    left, right = np.triu_indices(TRACKS - 2, 1)
    kept = (group[left] == group[right]) & (rng.random(len(left)) < 0.6)
    return TrackGraph.from_edges(np.stack([left[kept], right[kept]], 1), TRACKS), group


def training_of(graph, group, settings=SMALL, features=None):
    """An untrained model on some data."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    drawn = rng.random((TRACKS, INPUTS), dtype=np.float32)
    audio = rng.random((TRACKS, 8), dtype=np.float32)
    model = Musig(INPUTS, settings)
    features = drawn if features is None else features
    return MusigTraining(model, features, graph, group, audio, np.ones(TRACKS, bool))


def test_an_aggregator_is_pytorch_geometrics():
    geometric = pytest.importorskip("torch_geometric.nn")
    torch.manual_seed(0)
    ours = Aggregator(INPUTS, 7, last=True)
    theirs = geometric.SAGEConv(INPUTS, 7, aggr="mean")
    with torch.no_grad():
        theirs.lin_r.weight.copy_(ours.linear.weight[:, :INPUTS])
        theirs.lin_l.weight.copy_(ours.linear.weight[:, INPUTS:])
        theirs.lin_l.bias.copy_(ours.linear.bias)
    graph, _ = planted()
    sources = torch.from_numpy(graph.neighbours).long()
    targets = torch.repeat_interleave(torch.arange(TRACKS), torch.from_numpy(graph.degree))
    x = torch.rand(TRACKS, INPUTS)
    means = torch.zeros(TRACKS, INPUTS).index_add_(0, targets, x[sources])
    means /= torch.from_numpy(graph.degree).clamp(min=1)[:, None]
    found = theirs(x, torch.stack([sources, targets]))
    assert torch.allclose(ours(x, means), found, atol=1e-5)


def test_vectors_are_the_formula():
    graph, group = planted()
    training = training_of(graph, group)
    model, features = training.model, 3 * training.features.numpy() + 2
    model.standardise.fit(features[:40])
    state = features.astype(np.float64)
    state = (state - state[:40].mean(0)) / state[:40].std(0)
    for k, aggregator in enumerate(model.aggregators):
        weight = aggregator.linear.weight.detach().double().numpy()
        bias = aggregator.linear.bias.detach().double().numpy()
        means = np.stack([
            state[graph[v]].mean(0) if len(graph[v]) else np.zeros(state.shape[1])
            for v in range(TRACKS)
        ])  # fmt: skip
        state = np.concatenate([state, means], 1) @ weight.T + bias
        if k == 0:
            state = np.maximum(state, 0)
    expected = state / np.linalg.norm(state, axis=1, keepdims=True)
    assert np.abs(model.vectors(features, graph) - expected).max() < 1e-5


def test_missing_identity_is_that_of_the_mean():
    graph, _ = planted()
    rng = np.random.default_rng(4)
    features = rng.normal(2, 3, (TRACKS, INPUTS)).astype(np.float32)
    model = Musig(INPUTS, SMALL, identity=2)
    model.standardise.fit(features)
    without = model.vectors(features[:, :-2], graph)
    features[:, -2:] = features[:, -2:].mean(0)
    np.testing.assert_allclose(without, model.vectors(features, graph), atol=1e-6)


def test_identity_is_dropped_at_its_rate_and_with_the_neighbours():
    """Of tracks without edges, whose vectors follow from their own features."""
    graph = TrackGraph.from_edges(np.array([[4000, 4001]]), 4002)
    features = np.random.default_rng(0).normal(size=(4002, 3)).astype(np.float32)
    bare = features * np.array([1, 1, 0], np.float32)
    settings = replace(SMALL, isolated=0.5, identity_dropout=0.4)
    model = Musig(3, settings, identity=1)
    has_audio = np.zeros(4002, bool)
    training = MusigTraining(model, features, graph, np.zeros(4002), features, has_audio)
    nodes, random = torch.arange(4000), torch.Generator().manual_seed(0)
    with torch.no_grad():
        found, _ = model.train().embed(nodes, training.features, training.sampler, random)
    whole, dropped = (np.isclose(found, model.vectors(x, graph)[:4000], atol=1e-5).all(1)
                      for x in (features, bare))  # fmt: skip
    assert (whole ^ dropped).all()
    assert abs(dropped.mean() - (1 - 0.5 * 0.6)) < 4 * (0.7 * 0.3 / 4000) ** 0.5


def test_sampled_vectors_approach_those_of_all_neighbours():
    graph, group = planted()
    wide = replace(SMALL, fan_out=(400, 400))
    training = training_of(graph, group, wide).eval()
    features, model = training.features, training.model
    nodes, generator = torch.tensor([3, 7, 3, TRACKS - 1]), torch.Generator().manual_seed(0)
    with torch.no_grad():
        vectors, place = model.embed(nodes, features, training.sampler, generator)
    exact = model.vectors(features.numpy(), graph)[nodes]
    assert len(vectors) == 3 and place[0] == place[2]
    assert (vectors[place].numpy() * exact).sum(1).min() > 0.99


def test_a_batch_s_neighbours_depend_on_its_seed_alone():
    graph, group = planted()
    model = training_of(graph, group)
    pairs = PairSampler(graph, 16, 1, seed=4)
    batches = PairBatches(pairs, seed=4)
    one = model.loss(batches(5))["total"]
    torch.manual_seed(99)
    assert torch.equal(model.loss(PairBatches(PairSampler(graph, 16, 1, 4), 4)(5))["total"], one)
    assert not torch.equal(model.loss(batches(6))["total"], one)


def test_means_and_their_gradient_are_those_of_a_dense_matrix():
    sampled = torch.tensor([[0, 2, 2], [-1, -1, -1], [4, 0, 1], [2, 1, 0]])
    states = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    dense = torch.nn.functional.one_hot(sampled.clamp(min=0), 6).double().mean(1)
    dense[1] = 0
    slope = torch.randn(4, 4, dtype=torch.float64)
    found = neighbour_means(states, sampled)
    assert torch.allclose(found, dense @ states)
    (gradient,) = torch.autograd.grad((found * slope).sum(), states)
    assert torch.allclose(gradient, dense.T @ slope)
    assert not neighbour_means(states, torch.full((2, 3), -1)).any()


def test_the_losses_are_the_formulas():
    graph, group = planted()
    group = np.where(np.arange(TRACKS) < 4, NO_GENRE, group)
    training = training_of(graph, group, replace(SMALL, weights=(0.7, 0.1, 0.2)))
    model, audio = training.model, training.audio.numpy()
    left, right = torch.tensor([1, 9, 12, 5]), torch.tensor([20, 12, 44, 8])
    batch = Pairs(left, right, torch.tensor([1.0, 1, 0, 0]), torch.tensor(3))
    found = {k: float(v.detach()) for k, v in training.loss(batch).items()}
    nodes, generator = torch.cat([left, right]), torch.Generator().manual_seed(3)
    vectors, place = model.embed(nodes, training.features, training.sampler, generator)
    a, b = vectors[place].detach().double().numpy().reshape(2, 4, -1)
    cosine = (a * b).sum(1)

    def cross_entropy(task, labels):
        logit = model.scales[task].item() * cosine + model.offsets[task].item()
        p = 1 / (1 + np.exp(-logit))
        return -(labels * np.log(p) + (1 - labels) * np.log(1 - p))

    playlist = cross_entropy("playlist", batch.co_occur.numpy()).mean()
    same = group[left] == group[right]
    genre = cross_entropy("genre", same)[1:].mean()  # the first pair has an unknown genre
    similarity = (audio[left] * audio[right]).sum(1, dtype=np.float64) / 8
    predicted = model.scales["similarity"].item() * cosine + model.offsets["similarity"].item()
    rms = np.sqrt(((predicted - similarity) ** 2).mean())
    assert found["playlist"] == pytest.approx(playlist, abs=1e-5)
    assert found["genre"] == pytest.approx(genre, abs=1e-5)
    assert found["similarity"] == pytest.approx(rms, abs=1e-5)
    total = 0.7 * playlist + 0.1 * genre + 0.2 * rms
    assert found["total"] == pytest.approx(total, abs=1e-5)


def test_a_batch_without_genres_has_no_genre_loss():
    graph, _ = planted()
    model = training_of(graph, np.full(TRACKS, NO_GENRE))
    batch = PairBatches(PairSampler(graph, 8, 1, 0))(0)
    losses = model.loss(batch)
    assert float(losses["genre"].detach()) == 0
    losses["total"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 0, 0), "learnt"])
def test_it_learns_the_groups(weights):
    graph, group = planted()
    settings = replace(SMALL, weights=weights, isolated=0.1, learning_rate=1e-2)
    features = np.eye(3, dtype=np.float32)[group] + np.random.default_rng(1).normal(
        0, 1.0, (TRACKS, 3)
    ).astype(np.float32)
    features = np.concatenate([features, np.zeros((TRACKS, 2), np.float32)], axis=1)
    training = training_of(graph, group, settings, features)
    model = training.model
    batches = PairBatches(PairSampler(graph, 64, 1, 0))
    (optimizer,) = training.optimizers()
    first = separation(model.vectors(features, graph), group)
    for step in range(80):
        optimizer.zero_grad()
        training.loss(batches(step))["total"].backward()
        optimizer.step()
    assert separation(model.eval().vectors(features, graph), group) > first + 0.3


def separation(vectors, group):
    """Cosine within groups less that between them, of tracks with edges."""
    cosine = vectors[:-2] @ vectors[:-2].T
    same = group[:-2, None] == group[None, :-2]
    return cosine[same].mean() - cosine[~same].mean()


def test_new_tracks_get_vectors_without_training():
    graph, group = planted()
    training = training_of(graph, group)
    model, features = training.model, training.features.numpy()
    before = model.vectors(features, graph)
    rng = np.random.default_rng(2)
    more = np.concatenate([features, rng.random((2, INPUTS), dtype=np.float32)])
    # the first new track has no edges, the second has some
    new = np.array([[TRACKS + 1, 0], [TRACKS + 1, 3], [TRACKS + 1, 6]])
    left, right, weights = graph.upper()
    edges = np.concatenate([np.stack([left, right], 1), new])
    times = np.concatenate([weights, [1, 1, 1]])
    grown = TrackGraph.from_edges(np.repeat(edges, times, axis=0), TRACKS + 2)
    after = model.vectors(more, grown)
    assert after.shape == (TRACKS + 2, 16) and np.isfinite(after).all()
    near = np.unique(np.concatenate([[0, 3, 6], graph[0], graph[3], graph[6]]))
    untouched = np.setdiff1d(np.arange(TRACKS), near)
    assert np.allclose(after[untouched], before[untouched], atol=1e-6)
    edgeless = TrackGraph.from_edges(np.empty((0, 2), np.int64), 2)
    alone = model.vectors(more[[TRACKS, TRACKS + 1]], edgeless)
    assert np.allclose(after[TRACKS], alone[0], atol=1e-6)
    assert not np.allclose(after[TRACKS + 1], alone[1], atol=1e-3)


def test_saved_models_give_the_same_vectors(tmp_path):
    graph, group = planted()
    for weights in ((1, 1, 1), "learnt"):
        training = training_of(graph, group, replace(SMALL, weights=weights))
        model, features = training.model, training.features.numpy()
        model.about = {"features": ["popularity"]}
        model.save(tmp_path / "model")
        saved = load_musig(tmp_path / "model")
        assert saved.about == {"features": ["popularity"]} and saved.scaler is None
        assert np.array_equal(saved.vectors(features, graph), model.vectors(features, graph))


def test_a_damaged_model_is_one_line(tmp_path):
    with pytest.raises(CheckpointError, match="is it a model folder"):
        load_musig(tmp_path)


def test_data_moves_with_the_model_and_is_not_saved():
    graph, group = planted()
    training = training_of(graph, group)
    assert set(training.state_dict()) == {f"model.{k}" for k in training.model.state_dict()}
    moved = training.double()
    assert moved.features.dtype == torch.float64 and moved.genres.dtype == torch.int64
