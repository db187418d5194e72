"""Measures of collapse against direct formulas and cases whose answer is known."""

import math

import pytest
import torch
import torch.nn.functional as F

from ssl_audio.objectives import collapse


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_embedding_std():
    assert collapse.embedding_std(random(5000, 64)).item() == pytest.approx(1.0, abs=0.02)
    same = random(1, 64).expand(50, 64)
    assert collapse.embedding_std(same).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (30, 30)])
def test_rankme_equals_the_definition(shape):
    x = random(*shape)
    singular = torch.linalg.svdvals(x)
    p = singular / singular.sum() + 1e-7
    expected = math.exp(-(p * p.log()).sum())
    assert collapse.rankme(x).item() == pytest.approx(expected, rel=1e-5)


def test_rankme_of_known_ranks():
    orthogonal = torch.linalg.qr(random(64, 10))[0]
    assert collapse.rankme(orthogonal).item() == pytest.approx(10, rel=1e-3)
    assert collapse.rankme(torch.ones(40, 30)).item() == pytest.approx(1, abs=0.01)
    assert collapse.rankme(torch.zeros(40, 30)).item() == 1


def test_alignment_and_uniformity_equal_their_definitions():
    a, b = random(12, 6), random(12, 6, seed=1)
    ua, ub = F.normalize(a, dim=1), F.normalize(b, dim=1)
    expected = sum(((x - y) ** 2).sum() for x, y in zip(ua, ub, strict=True)) / 12
    torch.testing.assert_close(collapse.alignment(a, b), expected)
    assert collapse.alignment(a, -a).item() == pytest.approx(4)
    potential = torch.pdist(ua).pow(2).mul(-2).exp().mean().log()
    torch.testing.assert_close(collapse.uniformity(a), potential)
    assert collapse.uniformity(torch.ones(5, 4)).item() == pytest.approx(0, abs=1e-6)


def test_clusters():
    one, each = torch.eye(8)[torch.zeros(16, dtype=torch.long)], torch.eye(8).repeat(2, 1)
    assert collapse.cluster_perplexity(one).item() == pytest.approx(1)
    assert collapse.cluster_usage(one).item() == pytest.approx(1 / 8)
    assert collapse.cluster_perplexity(each).item() == pytest.approx(8)
    assert collapse.cluster_usage(each).item() == 1
    # five rows cannot use more than five
    assert collapse.cluster_usage(torch.eye(100)[:5]).item() == 1
    uniform = torch.full((16, 8), 1 / 8)
    assert collapse.cluster_perplexity(uniform).item() == pytest.approx(8)
