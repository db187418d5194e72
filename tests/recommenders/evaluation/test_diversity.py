"""Section 6.1: the metric's equations in float64, its pairs, and its neighbours."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.collection import playlists_of
from ssl_audio.recommenders.evaluation.diversity import (
    category_matrix,
    co_occurrence,
    diversity_figures,
    nearest,
    share_category,
)
from ssl_audio.recommenders.models.diversity_metric import DiversityMetric, DiversityPairs

THEMES, CATEGORIES, EACH = 6, 6, 5
THEME = np.repeat(np.arange(THEMES), CATEGORIES * EACH)
CATEGORY = np.tile(np.repeat(np.arange(CATEGORIES), EACH), THEMES)
ITEMS = len(THEME)
LINKS = np.arange(ITEMS), CATEGORY


def sequences(seed, count=400):
    """Half go through a category, half through a theme over all categories."""
    rng = np.random.default_rng(seed)
    lists = []
    for k in range(count):
        group, number = (THEME, THEMES) if k % 2 else (CATEGORY, CATEGORIES)
        lists.append(rng.choice(np.flatnonzero(group == rng.integers(number)), 12))
    return playlists_of(lists)


def representations(seed=0, dimensions=16):
    """Items by theme and, more so, by category; relational vectors by category."""
    rng = np.random.default_rng(seed)
    themes, categories = rng.normal(size=(2, 6, dimensions))
    noise = rng.normal(size=(2, ITEMS, dimensions)) * 0.2
    item = 0.5 * themes[THEME] + categories[CATEGORY] + noise[0]
    return item, 1 / (1 + np.exp(-2 * categories[CATEGORY] - noise[1]))


def metric(seed=0, margin=1.0):
    """With matrices that are not multiples of the identity."""
    made = DiversityMetric(*representations(seed), margin=margin)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for root in made.parameters():
            root.add_(0.1 * torch.randn(root.shape, generator=generator))
    return made


def matrices(made):
    """M_i and M_ic of equation 11."""
    roots = (made.item_root, made.relational_root)
    return [(root.T @ root).detach().numpy() for root in roots]


def test_distance_and_loss_are_equations_11_and_12():
    made, (item, relational) = metric(margin=0.8), representations()
    first, second = matrices(made)
    rng = np.random.default_rng(1)
    a, b = rng.integers(ITEMS, size=(2, 40))
    y = rng.integers(2, size=40)
    expected, distances = 0.0, []
    for k in range(40):
        x, z = item[a[k]] - item[b[k]], relational[a[k]] - relational[b[k]]
        d = x @ first @ x + z @ second @ z
        distances.append(d)
        expected += y[k] * d**2 + (1 - y[k]) * max(0.8 - d, 0) ** 2
    ours = made.distance(torch.tensor(a), torch.tensor(b)).detach()
    np.testing.assert_allclose(ours, distances, rtol=1e-4, atol=1e-6)
    assert min(distances) < 0.8 < max(distances)  # the margin is met on both sides
    batch = {"a": torch.tensor(a), "b": torch.tensor(b), "positive": torch.tensor(y).float()}
    loss = float(made.loss(batch)["total"].detach())
    assert loss == pytest.approx(expected / 2 / 40, rel=1e-4)


def test_metrics_are_positive_semidefinite_and_vectors_have_their_distances():
    made = metric()
    for matrix in matrices(made):
        np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
        assert np.linalg.eigvalsh(matrix.astype(np.float64)).min() > -1e-6
    vectors = made.vectors()
    rows = torch.arange(0, ITEMS, 7)
    squared = ((vectors[rows] - vectors[3]) ** 2).sum(1)
    ours = made.distance(rows, torch.full_like(rows, 3)).detach()
    np.testing.assert_allclose(ours, squared, rtol=1e-4, atol=1e-5)


def test_a_metric_starts_with_the_margin_as_its_mean_distance():
    made = DiversityMetric(*representations(), margin=2.0)
    every = torch.arange(ITEMS)
    d = made.distance(every.repeat(ITEMS), every.repeat_interleave(ITEMS)).detach()
    assert float(d.mean()) == pytest.approx(2.0, rel=1e-4)


def test_pairs_are_what_they_are_said_to_be_and_a_function_of_the_step():
    made = DiversityPairs(sequences(0), LINKS, (ITEMS, CATEGORIES), batch_size=400, window=4)
    together = co_occurrence(sequences(0), ITEMS, 4)
    found = {name: tensor.numpy() for name, tensor in made(5).items()}
    a, b, positive = found["a"], found["b"], found["positive"] > 0
    assert positive.sum() == 200 and len(a) == 400
    assert (CATEGORY[a] != CATEGORY[b])[positive].all()
    assert (np.asarray(together[a[positive], b[positive]]) > 0).all()
    assert (CATEGORY[a] == CATEGORY[b])[200:300].all()
    assert (CATEGORY[a] != CATEGORY[b])[300:].mean() > 0.9
    assert (THEME[a] == THEME[b])[200:].mean() < 0.4  # chance 0.17
    again = DiversityPairs(sequences(0), LINKS, (ITEMS, CATEGORIES), batch_size=400, window=4)(5)
    for name in found:
        np.testing.assert_array_equal(again[name], found[name])
        assert name == "positive" or not torch.equal(made(6)[name], again[name])


def test_others_of_a_category_are_drawn_by_how_often_they_occur():
    lists = [[0, 1]] * 30 + [[0, 2]] * 10 + [[3, 4]]
    links = np.array([0, 1, 2, 3, 4]), np.array([0, 1, 1, 0, 1])
    made = DiversityPairs(playlists_of(lists), links, (5, 2), batch_size=40_000)
    batch = made(0)
    a, b = batch["a"].numpy()[20_000:30_000], batch["b"].numpy()[20_000:30_000]
    counts = np.bincount(b[a == 1], minlength=5)
    assert counts[[0, 3]].sum() == 0
    np.testing.assert_allclose(
        counts[[1, 2, 4]] / counts.sum(), [30 / 41, 10 / 41, 1 / 41], atol=0.03
    )


def test_items_without_a_category_are_in_no_pair():
    links = np.array([0, 1]), np.array([0, 1])
    made = DiversityPairs(playlists_of([[0, 1, 2, 3]] * 5), links, (4, 2), batch_size=100)
    batch = made(0)
    assert set(torch.cat([batch["a"], batch["b"]]).tolist()) == {0, 1}


def test_one_category_has_nothing_to_teach():
    with pytest.raises(SslAudioError, match="different categories"):
        DiversityPairs(sequences(0), (np.arange(ITEMS), np.zeros(ITEMS, int)), (ITEMS, 1))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(1, 5), st.data())
def test_neighbours_are_those_of_a_full_sort(items, dimensions, data):
    k = data.draw(st.integers(1, items - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    vectors = rng.normal(size=(items, dimensions))
    squared = ((vectors[:, None] - vectors[None]) ** 2).sum(2)
    products = vectors @ vectors.T
    np.fill_diagonal(squared, np.inf)
    np.fill_diagonal(products, -np.inf)
    np.testing.assert_array_equal(nearest(vectors, k, euclidean=True), squared.argsort(1)[:, :k])
    np.testing.assert_array_equal(
        nearest(vectors, k, euclidean=False), (-products).argsort(1)[:, :k]
    )


def test_measures_by_hand():
    links = np.array([0, 1, 1, 2, 3, 3]), np.array([0, 0, 1, 1, 2, 2])
    categories = category_matrix(links, (5, 3))  # {0}, {0, 1}, {1}, {2}, none
    np.testing.assert_array_equal(
        share_category(categories, np.array([0, 0, 1, 3, 4]), np.array([1, 2, 2, 3, 4])),
        [True, False, True, True, False],
    )
    neighbours = np.array([[1, 2], [0, 3], [3, 4], [0, 2], [0, 1]])
    found = diversity_figures(neighbours, categories, playlists_of([[0, 2, 1], [3, 0]]), window=1)
    np.testing.assert_allclose(found["new"], [0.5, 0.5, 1, 1])
    mixed = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))  # {0, 1} and {1}
    np.testing.assert_allclose(found["entropy"], [mixed, 1, 0, 1])
    np.testing.assert_allclose(found["hits"], [0.5, 0, 0, 0.5])  # 0 with 2, 3 with 0
    np.testing.assert_allclose(found["new_hits"], [0.5, 0, 0, 0.5])


def test_co_occurrence_is_a_count_of_pairs_within_a_window():
    rng = np.random.default_rng(0)
    lists = [rng.integers(6, size=rng.integers(0, 8)) for _ in range(30)]
    expected = np.zeros((6, 6), int)
    for one in lists:
        for i in range(len(one)):
            for j in range(len(one)):
                expected[one[i], one[j]] += 0 < abs(i - j) <= 3
    np.testing.assert_array_equal(co_occurrence(playlists_of(lists), 6, 3).toarray(), expected)


def test_learnt_neighbours_are_of_other_categories_and_as_relevant():
    item, relational = representations()
    made = DiversityMetric(item, relational)
    pairs = DiversityPairs(sequences(0), LINKS, (ITEMS, CATEGORIES), batch_size=512)
    (optimizer,) = made.optimizers()
    for step in range(100):
        loss = made.loss(pairs(step))["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    categories, held_out = category_matrix(LINKS, (ITEMS, CATEGORIES)), sequences(1)
    plain, diverse = (
        {name: v.mean() for name, v in diversity_figures(lists, categories, held_out).items()}
        for lists in (nearest(item, 8, euclidean=False), nearest(made.vectors(), 8, euclidean=True))
    )
    assert diverse["new"] > plain["new"] + 0.4
    assert diverse["entropy"] > plain["entropy"] + 1
    assert diverse["new_hits"] > 5 * plain["new_hits"]
    assert diverse["hits"] > 0.8 * plain["hits"]
