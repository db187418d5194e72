"""Distillation: both distances, rows without a target, and the heads."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.contrastive import nt_xent
from ssl_audio.objectives.distillation import Distillation, cosine_distance, relational_distance

SIZES = {"target_size": 5, "embedding_size": 6}
ALONE = {**SIZES, "contrast": 0.0}


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosines(x):
    return np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in x] for a in x])


def test_distances_equal_plain_loops():
    found, target = rows(7, 6), rows(7, 5, seed=1)
    student, teacher = cosines(found.numpy()), cosines(target.numpy())
    above = below = 0.0
    for i in range(7):
        for j in range(7):
            if i != j:
                above += (student[i, j] - teacher[i, j]) ** 2
                below += teacher[i, j] ** 2
    assert relational_distance(found, target).item() == pytest.approx(above / below, rel=1e-12)
    pairs = zip(found[:, :5].numpy(), target.numpy(), strict=True)
    expected = np.mean([1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs])
    assert cosine_distance(found[:, :5], target).item() == pytest.approx(expected, rel=1e-12)


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 100), st.integers(0, 1000))
def test_rotation_and_scale_of_the_embedding_do_not_change_its_relations(scale, seed):
    x, target = rows(6, 5, seed=seed), rows(6, 4, seed=seed + 1)
    rotation = torch.linalg.qr(rows(5, 5, seed=seed + 2))[0]
    expected = relational_distance(x, target)
    torch.testing.assert_close(relational_distance(scale * x @ rotation, target), expected)
    assert relational_distance(target, target).item() < 1e-20


def test_the_loss_is_the_weighted_sum_of_its_terms():
    objective = Distillation(
        **SIZES, cosine=2.0, relational=3.0, contrast=0.5, projector_sizes=(7, 4)
    ).double()
    student = objective.projector(rows(8, 6)).unflatten(0, (2, 4))
    targets = rows(2, 4, 5, seed=1)
    head, embedding, contrasted = student.split([5, 6, 4], dim=2)
    torch.testing.assert_close(embedding.flatten(0, 1), rows(8, 6))
    expected = (
        2 * cosine_distance(head, targets)
        + 3 * relational_distance(embedding.flatten(0, 1), targets.flatten(0, 1))
        + 0.5 * nt_xent(contrasted, 0.1)
    )
    output = objective.loss(student, None, 0.0, targets)
    torch.testing.assert_close(output.total, expected)
    assert set(output.terms) == {"cosine", "relational", "contrast"}


@pytest.mark.parametrize("known", [0, 1, 3])
def test_rows_without_a_target_teach_nothing(known):
    objective = Distillation(**ALONE).double()
    x = rows(8, 6).requires_grad_()
    targets = rows(2, 4, 5, seed=1)
    targets[:, known:] = torch.nan
    student = objective.projector(x).unflatten(0, (2, 4))
    total = objective.loss(student, None, 0.0, targets).total
    total.backward()
    by_row = x.grad.unflatten(0, (2, 4))
    assert torch.isfinite(total) and torch.isfinite(x.grad).all()
    assert (by_row[:, known:] == 0).all() and (by_row[:, :known] != 0).any() == (known > 0)
    if known > 1:
        fewer = objective.loss(student[:, :known], None, 0.0, targets[:, :known]).total
        torch.testing.assert_close(total, fewer)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"cosine": -1.0}, "cosine=-1.0: must be 0 or above"),
        ({"cosine": 0.0, "relational": 0.0}, "cosine=0, relational=0, contrast=0: one weight"),
        ({"temperature": 0.0}, "temperature=0.0: must be above 0"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(SslAudioError, match=message):
        Distillation(**{**ALONE, **options})


def test_without_targets_it_names_the_setting():
    objective = Distillation(**SIZES)
    with pytest.raises(SslAudioError, match="teacher=NAME"):
        objective.loss(torch.randn(2, 4, 11), None, 0.0)
