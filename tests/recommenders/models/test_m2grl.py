"""M2GRL: its equations in float64, its draws, and what it learns of planted views."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.models.m2grl import (
    M2GRL,
    M2GRLBatches,
    WindowPairs,
    load_m2grl,
    skip_gram_loss,
)
from ssl_audio.recommenders.training import clip_gradients
from ssl_audio.settings.recommend import M2GRLSettings

ITEMS, CATEGORIES = 120, 12


def planted(seed=0, sessions=600, length=20):
    """Sessions that mostly stay within a category and otherwise within a group of four."""
    rng = np.random.default_rng(seed)
    category = np.arange(ITEMS) % CATEGORIES
    stays = rng.random((sessions, length)) < 0.7
    here = rng.integers(CATEGORIES, size=sessions)
    visited = np.empty((sessions, length), int)
    for step in range(length):
        here = np.where(stays[:, step], here, here // 4 * 4 + rng.integers(4, size=sessions))
        visited[:, step] = here
    taken = visited + CATEGORIES * rng.integers(ITEMS // CATEGORIES, size=visited.shape)
    views = [[row[np.r_[True, np.diff(row) != 0]] for row in rows] for rows in (taken, visited)]
    return category, dict(zip(("item", "category"), map(playlists_of, views), strict=True))


def small(weights="learnt", sparse=False, batch=64, dimensions=16, shown=0.7, seed=0):
    """Planted views, links of some of the items, and what is made of them."""
    category, views = planted()
    linked = np.random.default_rng(1).random(len(category)) < shown
    links = {"category": (np.flatnonzero(linked), category[linked])}
    sizes = {"item": len(category), "category": CATEGORIES}
    chosen = M2GRLSettings(dimensions=dimensions, batch_size=batch, weights=weights, sparse=sparse)
    batches = M2GRLBatches(views, links, sizes, chosen, seed)
    return category, linked, batches, M2GRL(sizes, ("category",), chosen, seed)


def train(model, batches, steps):
    optimizers = model.optimizers()
    for step in range(steps):
        terms = model.loss(batches(step))
        model.zero_grad(set_to_none=True)
        terms["total"].backward()
        clip_gradients(model, 1.0)
        for optimizer in optimizers:
            optimizer.step()
    return {name: float(value.detach()) for name, value in terms.items()}


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


def test_losses_are_of_the_tables_and_the_total_is_equation_10():
    _, _, batches, model = small()
    with torch.no_grad():
        model.outputs["item"].weight.normal_()
        model.weights.log_variance.copy_(torch.tensor([0.4, -0.3, 1.1]))
    batch = batches(0)
    terms = {name: float(value.detach()) for name, value in model.loss(batch).items()}
    tasks = ["item", "category", "item-category"]
    assert model.tasks == tasks
    inputs = model.inputs["item"].weight.detach().double()[batch["item/from"]]
    outputs = model.outputs["item"].weight.detach().double()[batch["item/to"]]
    assert terms["item"] == pytest.approx(float(skip_gram_loss(inputs, outputs)), rel=1e-5)
    variances = np.exp([0.4, -0.3, 1.1])
    expected = sum(terms[t] / v + np.log(v) for t, v in zip(tasks, variances, strict=True))
    assert terms["total"] == pytest.approx(expected, rel=1e-5)
    assert [terms[f"variance_{t}"] for t in tasks] == pytest.approx(variances)


def test_weights_by_hand_are_equation_5():
    weights = {"item": 0.05, "category": 1.0, "item-category": 2.0}
    _, _, batches, model = small((0.05, 1.0, 2.0))
    terms = {name: float(value.detach()) for name, value in model.loss(batches(0)).items()}
    assert terms["total"] == pytest.approx(sum(w * terms[t] for t, w in weights.items()), rel=1e-6)
    assert not any(name.startswith("variance") for name in terms)
    uniform = small("uniform")[3].loss(batches(0))
    assert float(uniform["total"].detach()) == pytest.approx(
        sum(float(uniform[t]) for t in weights), rel=1e-6
    )


def test_a_weight_for_each_task_is_expected():
    with pytest.raises(SslAudioError, match="item-category"):
        small((1.0,))


def test_variances_stay_at_their_floor():
    _, _, batches, model = small()
    optimizers = model.optimizers()
    for step in range(8):
        with torch.no_grad():
            model.weights.log_variance.sub_(1.0)  # far below, in steps larger than a gradient's
        terms = model.loss(batches(step))
        variances = [float(v) for name, v in terms.items() if name.startswith("variance")]
        assert min(variances) >= 0.05 * (1 - 1e-6)
        model.zero_grad()
        terms["total"].backward()
        for optimizer in optimizers:
            optimizer.step()
    assert max(model.weights.current().values()) <= 20 * (1 + 1e-6)


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


def test_batches_are_a_function_of_seed_and_step():
    batches, other = small()[2], small(seed=1)[2]
    again = small()[2](7)
    again_first = batches(7)
    batches(3)
    for name, tensor in batches(7).items():
        assert torch.equal(tensor, again[name]) and torch.equal(tensor, again_first[name])
        assert tensor.dtype == torch.int64
        assert tensor.shape == ((64,) if name.endswith("from") else (64, 11))
        assert not torch.equal(tensor, batches(8)[name])
        assert not torch.equal(tensor, other(7)[name])


def test_views_and_links_that_do_not_fit():
    _, views = planted(sessions=3)
    sizes, chosen = {"item": ITEMS, "category": CATEGORIES}, M2GRLSettings()
    link = (np.array([0]), np.array([0]))
    with pytest.raises(SslAudioError, match="give both"):
        M2GRLBatches({"item": views["item"]}, {}, sizes, chosen)
    with pytest.raises(SslAudioError, match="shop"):
        M2GRLBatches(views, {"shop": link}, sizes, chosen)
    with pytest.raises(SslAudioError, match="of 20"):
        M2GRLBatches(views, {}, {"item": 20, "category": CATEGORIES}, chosen)


def test_planted_views_are_found_and_so_are_links_that_were_hidden():
    category, linked, batches, model = small(dimensions=48, batch=160)
    before = float(model.loss(batches(0))["total"].detach())
    after = train(model, batches, 250)
    assert after["total"] < before - 4
    vectors = model.vectors("item")
    assert vectors.shape == (ITEMS, 48) and vectors.dtype == np.float32
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argsort(-scores, 1)[:, :5]
    assert (category[nearest] == category[:, None]).mean() > 0.6  # chance 0.08
    items, categories = model.relational("category"), model.relational("category", "category")
    assert 0 <= items.min() and items.max() <= 1 and categories.shape == (CATEGORIES, 48)
    scores = items @ categories.T
    own = scores[np.arange(ITEMS), category]
    above = (scores < own[:, None]).sum(1) / (CATEGORIES - 1)  # of the other categories
    assert (above[linked] == 1).mean() > 0.9  # chance 0.08
    assert above[~linked].mean() > 0.8  # chance 0.5


def test_sparse_gradients_step_the_rows_of_a_batch_as_dense_ones_do():
    dense, sparse, batches = small()[3], small(sparse=True)[3], small()[2]
    before = dense.inputs["item"].weight.detach().clone()
    for model in (dense, sparse):
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            for table in model.outputs.values():
                table.weight.normal_(generator=generator)
        train(model, batches, 1)
    assert len(sparse.optimizers()) == 2
    for one, other in zip(dense.parameters(), sparse.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad.to_dense())
        clear = one.grad.abs() > 1e-4  # nearer 0 the two differ, as in how they count epsilon
        torch.testing.assert_close(one[clear], other[clear], rtol=0, atol=1e-4)  # a step is 1e-2
    touched = torch.cat([batches(0)["item/from"], batches(0)["item-category/from"]]).unique()
    gradient = sparse.inputs["item"].weight.grad
    assert gradient.is_sparse and torch.equal(gradient.coalesce().indices()[0], touched)
    assert 0 < len(touched) < ITEMS
    moved = (sparse.inputs["item"].weight != before).any(1)
    assert torch.equal(moved.nonzero()[:, 0], touched)


def test_items_alone_are_plain_skip_gram():
    _, views = planted()
    chosen = M2GRLSettings(dimensions=16, batch_size=256, weights="uniform", sparse=True)
    model = M2GRL({"item": ITEMS}, (), chosen)
    batches = M2GRLBatches({"item": views["item"]}, {}, {"item": ITEMS}, chosen)
    terms = train(model, batches, 3)
    assert terms.keys() == {"total", "item"} and len(model.optimizers()) == 1


@pytest.mark.parametrize("limit", [0.01, 1e6])
def test_clipping_is_that_of_torch_for_dense_and_sparse(limit):
    models = [small()[3], small()[3], small(sparse=True)[3]]
    batch = small()[2](0)
    for model in models:
        with torch.no_grad():
            for table in model.outputs.values():
                table.weight.fill_(0.1)
        model.loss(batch)["total"].backward()
    expected = torch.nn.utils.clip_grad_norm_(models[0].parameters(), limit)
    for model in models[1:]:
        torch.testing.assert_close(clip_gradients(model, limit), expected)
        for one, other in zip(models[0].parameters(), model.parameters(), strict=True):
            torch.testing.assert_close(other.grad.to_dense(), one.grad, rtol=1e-4, atol=1e-7)


def test_a_saved_model_is_read_back(tmp_path):
    _, _, batches, model = small((0.05, 1.0, 1.0))
    train(model, batches, 3)
    model.save(tmp_path / "m")
    model.save(tmp_path / "m")  # over an older one
    again = load_m2grl(tmp_path / "m")
    np.testing.assert_array_equal(again.vectors(), model.vectors())
    np.testing.assert_array_equal(again.relational("category"), model.relational("category"))
    assert again.settings == model.settings and not again.training
    torch.testing.assert_close(again.loss(batches(4)), model.loss(batches(4)))


def test_folders_that_cannot_be_read(tmp_path):
    with pytest.raises(CheckpointError, match="config.json"):
        load_m2grl(tmp_path)
    small()[3].save(tmp_path / "m")
    config = tmp_path / "m" / "config.json"
    whole = config.read_text()
    config.write_text(whole[:40])
    with pytest.raises(CheckpointError, match="no m2grl model"):
        load_m2grl(tmp_path / "m")
    config.write_text(json.dumps(json.loads(whole) | {"sizes": {"item": 3, "category": 2}}))
    with pytest.raises(CheckpointError, match="no m2grl model"):
        load_m2grl(tmp_path / "m")
    config.write_text(whole)
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="no m2grl model"):
        load_m2grl(tmp_path / "m")
