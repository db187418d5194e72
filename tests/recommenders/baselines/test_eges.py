"""EGES: its merge against the formula, and new items beside those of their category."""

import numpy as np
import pytest
import torch

from ssl_audio.recommenders.baselines.eges import EGES, EGESBatches
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.settings.recommend import M2GRLSettings

LINKS = {
    "category": (np.array([3, 0, 1, 1, 4]), np.array([1, 0, 0, 2, 2])),  # 2 has none
    "shop": (np.array([0, 1, 2, 3]), np.array([1, 1, 0, 0])),  # 4 has none
}
SIZES = {"item": 6, "category": 3, "shop": 2}
SEEN = np.array([True, True, True, False, True, False])


def made(sparse=False):
    model = EGES(LINKS, SIZES, SEEN, M2GRLSettings(dimensions=4, sparse=sparse))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    return model


def expected_vector(model, item):
    logits = model.mixing.weight.detach().double().numpy()[item]
    parts = [(logits[0], model.item.weight[item])] if SEEN[item] else []
    for number, (kind, (items, values)) in enumerate(LINKS.items(), 1):
        own = values[items == item]
        if len(own):
            parts.append((logits[number], model.sides[kind].weight[own].mean(0)))
    if not parts:
        return np.zeros(4)
    weights = np.exp([a for a, _ in parts])
    vectors = [w.detach().double().numpy() for _, w in parts]
    return sum(a * w for a, w in zip(weights, vectors, strict=True)) / weights.sum()


@pytest.mark.parametrize("sparse", [False, True])
def test_vectors_are_equation_6_over_what_an_item_has(sparse):
    model = made(sparse)
    expected = [expected_vector(model, item) for item in range(6)]
    np.testing.assert_allclose(model.vectors(), expected, rtol=1e-5, atol=1e-6)
    shuffled = torch.tensor([4, 1, 1, 0, 5])
    np.testing.assert_allclose(
        model(shuffled).detach(), np.array(expected)[shuffled], rtol=1e-5, atol=1e-6
    )


def test_shares_sum_to_one_and_leave_out_what_is_missing():
    shares = made().shares(torch.arange(6)).detach().numpy()
    np.testing.assert_allclose(shares.sum(1), [1, 1, 1, 1, 1, 0], rtol=1e-6)
    assert (shares >= 0).all()
    missing = [[0, 0, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 1, 1]]
    np.testing.assert_array_equal(shares == 0, np.array(missing, bool))


def test_loss_is_skip_gram_of_merged_and_output_vectors():
    model = made()
    batch = {"from": torch.tensor([1, 4]), "to": torch.tensor([[0, 2, 2], [5, 1, 0]])}
    outputs = model.output.weight.detach().double().numpy()
    total = 0.0
    for item, others in zip([1, 4], batch["to"].tolist(), strict=True):
        scores = outputs[others] @ expected_vector(model, item)
        total += np.log1p(np.exp(-scores[0])) + np.log1p(np.exp(scores[1:])).sum()
    assert float(model.loss(batch)["total"].detach()) == pytest.approx(total / 2, rel=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_are_finite_where_something_is_missing(sparse):
    model = made(sparse)
    batch = {"from": torch.tensor([2, 4, 5, 3]), "to": torch.zeros(4, 3, dtype=torch.long)}
    (optimizer,) = model.optimizers()
    model.loss(batch)["total"].backward()
    for parameter in model.parameters():
        assert torch.isfinite(parameter.grad.to_dense()).all()
    optimizer.step()
    assert np.isfinite(model.vectors()).all()


def test_batches_are_a_function_of_seed_and_step():
    sequences = playlists_of([[0, 1, 2], [4, 0, 1, 2]])
    chosen = M2GRLSettings(batch_size=64)
    one, same = (EGESBatches(sequences, 6, chosen, seed=3) for _ in range(2))
    one(0)
    for name, tensor in one(9).items():
        assert torch.equal(tensor, same(9)[name])
        assert not torch.equal(tensor, one(10)[name])
        assert not torch.equal(tensor, EGESBatches(sequences, 6, chosen, seed=4)(9)[name])
    np.testing.assert_array_equal(one.pairs.counts > 0, [1, 1, 1, 0, 1, 0])


def test_new_items_land_near_their_category():
    rng = np.random.default_rng(0)
    category = np.arange(120) % 6
    new = np.arange(120) >= 96
    old = [np.flatnonzero((category == c) & ~new) for c in range(6)]
    sequences = playlists_of([rng.choice(old[k % 6], 12) for k in range(400)])
    links = {"category": (np.arange(120), category)}
    chosen = M2GRLSettings(dimensions=16, batch_size=256, negatives=5)
    batches = EGESBatches(sequences, 120, chosen)
    model = EGES(links, {"item": 120, "category": 6}, batches.pairs.counts > 0, chosen)
    (optimizer,) = model.optimizers()
    for step in range(150):
        loss = model.loss(batches(step))["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    vectors = model.vectors()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = (unit[new] @ unit[~new].T).argsort(1)[:, -5:]
    assert (category[~new][nearest] == category[new][:, None]).mean() > 0.9  # chance 0.17
    shares = model.shares(torch.arange(120)).detach().numpy()
    np.testing.assert_allclose(shares[new], [[0, 1]] * 24)
    assert np.ptp(shares[~new, 0]) > 0.01  # learnt, item by item
