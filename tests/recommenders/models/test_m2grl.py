"""M2GRL: its equations in float64, its draws, and what it learns of planted views."""

import json

import numpy as np
import pytest
import torch

from ssl_audio.io.errors import CheckpointError, SslAudioError
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.models.m2grl import M2GRL, Alignment, load_m2grl
from ssl_audio.recommenders.models.m2grl_batches import M2GRLBatches
from ssl_audio.recommenders.models.skipgram import skip_gram_loss
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


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_loss_is_that_of_its_formula():
    rng = np.random.default_rng(0)
    space = Alignment(5)
    with torch.no_grad():
        space.offset.fill_(1.7)
    item, attributes = rng.normal(size=(3, 5)), rng.normal(size=(3, 4, 5))
    matrix = space.matrix.detach().double().numpy()
    expected = []
    for i in range(3):
        terms = []
        for k in range(4):
            score = sigmoid(matrix @ item[i]) @ sigmoid(matrix @ attributes[i, k])  # equation 4
            sign = 1 if k == 0 else -1
            terms.append(-np.log(sigmoid(sign * (score - 1.7))))
        expected.append(sum(terms))
    ours = space.loss(torch.tensor(item).float(), torch.tensor(attributes).float())
    assert float(ours.detach()) == pytest.approx(np.mean(expected), rel=1e-5)


def test_vectors_of_zeros_are_as_likely_linked_as_not():
    space = Alignment(64)
    nothing = torch.zeros(2, 64)
    torch.testing.assert_close(space.relational(nothing), torch.full((2, 64), 0.5))
    torch.testing.assert_close(space.logits(nothing, nothing[:, None]), torch.zeros(2, 1))
    loss = space.loss(nothing, torch.zeros(2, 11, 64))
    torch.testing.assert_close(loss, torch.tensor(11 * np.log(2.0)).float())


def test_the_loss_and_its_gradient_are_finite_for_long_vectors():
    space = Alignment(8)
    item = (1e4 * torch.randn(6, 8)).requires_grad_()
    loss = space.loss(item, 1e4 * torch.randn(6, 3, 8))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(item.grad).all()


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


def test_planted_views_are_found_and_so_are_links_that_were_hidden():
    category, linked, batches, model = small(dimensions=48, batch=160)
    before = float(model.loss(batches(0))["total"].detach())
    after = train(model, batches, 250)
    assert after["total"] < before - 4
    vectors = model.vectors()
    assert vectors.shape == (2, ITEMS, 48) and vectors.dtype == np.float32
    contexts = model.outputs["item"].weight.detach().numpy()
    assert np.array_equal(vectors[1], contexts) and contexts.any()
    scores = vectors[0] @ vectors[0].T
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argsort(-scores, 1)[:, :5]
    assert (category[nearest] == category[:, None]).mean() > 0.6  # chance 0.08
    items, alignment = model.relational("category"), model.alignments["category"]
    categories = alignment.relational(model.inputs["category"].weight).detach().numpy()
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
    torch.nn.utils.clip_grad_norm_(models[0].parameters(), limit)
    for model in models[1:]:
        clip_gradients(model, limit)
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
    with pytest.raises(CheckpointError, match="damaged"):
        load_m2grl(tmp_path / "m")
    config.write_text(json.dumps(json.loads(whole) | {"sizes": {"item": 3, "category": 2}}))
    with pytest.raises(CheckpointError, match="no m2grl model"):
        load_m2grl(tmp_path / "m")
