"""The inter-view loss against its formula in float64, and draws that never name a link."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.models.alignment import Alignment, LinkDraw


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


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=25),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
    st.integers(0, 2**31),
)
def test_draws_are_links_of_items_that_occur_and_negatives_are_not(links, counts, seed):
    items, attributes = np.array(links).T
    counts, known = np.array(counts), set(links)
    usable = {i for i, _ in known if counts[i] and any((i, a) not in known for a in range(5))}
    if not usable:
        with pytest.raises(SslAudioError, match="lacks an attribute"):
            LinkDraw(items, attributes, counts, 5)
        return
    owner, drawn = LinkDraw(items, attributes, counts, 5).draw(np.random.default_rng(seed), 200, 6)
    assert drawn.shape == (200, 7) and set(owner.tolist()) <= usable
    assert set(zip(owner.tolist(), drawn[:, 0].tolist(), strict=True)) <= known
    for k in range(1, 7):
        assert not set(zip(owner.tolist(), drawn[:, k].tolist(), strict=True)) & known
    assert drawn.min() >= 0 and drawn.max() < 5


def test_links_are_drawn_by_their_items_counts_and_negatives_uniformly():
    items, attributes = np.array([0, 0, 1, 3, 3, 3]), np.array([1, 5, 0, 2, 3, 4])
    repeated = np.concatenate([items, items[:1]]), np.concatenate([attributes, attributes[:1]])
    counts = np.array([1, 5, 9, 2])  # 2 + 5 + 6 over the links
    owner, drawn = LinkDraw(*repeated, counts, 8).draw(np.random.default_rng(0), 65_000, 1)
    found = np.bincount(owner * 8 + drawn[:, 0], minlength=32)
    np.testing.assert_allclose(found[items * 8 + attributes], 5_000 * counts[items], rtol=0.05)
    negatives = np.bincount(drawn[owner == 3, 1], minlength=8)
    np.testing.assert_allclose(negatives[[0, 1, 5, 6, 7]], 6_000, rtol=0.06)


@pytest.mark.parametrize(
    ("items", "attributes", "message"),
    [([], [], "no links"), ([4], [0], "of 4 nodes"), ([0], [2], "of 2 nodes")],
)
def test_links_that_cannot_be_used(items, attributes, message):
    with pytest.raises(SslAudioError, match=message):
        LinkDraw(np.array(items, int), np.array(attributes, int), np.ones(4, int), 2)
