"""Three views and teachers of fewer views, label smoothing and groups, against plain loops."""

import math
from itertools import combinations, product

import pytest
import torch

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.barlow_twins import barlow_twins_loss
from ssl_audio.objectives.byol import BYOL, byol_loss
from ssl_audio.objectives.clustering import Clustering, clustering_loss
from ssl_audio.objectives.contrastive import Contrastive, nt_xent
from ssl_audio.objectives.vicreg import vicreg_loss

V, N, D = 3, 5, 7


def views(seed, count=V):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, N, D, generator=generator, dtype=torch.float64)


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def nt_xent_loop(z, temperature, smoothing=0.0, groups=None, weight=1.0):
    rows = list(product(range(V), range(N)))
    losses = []
    for (v, n), u in product(rows, range(V)):
        if u == v:
            continue
        others = [(w, m) for w, m in rows if (w, m) != (v, n)]
        logits = [cosine(z[v, n], z[w, m]) / temperature for w, m in others]
        counts = [
            weight if groups is not None and m != n and groups[m] == groups[n] else 1.0
            for _, m in others
        ]
        positive = cosine(z[v, n], z[u, n]) / temperature
        average = sum(c * x for c, x in zip(counts, logits, strict=True)) / sum(counts)
        target = (1 - smoothing) * positive + smoothing * average
        total = sum(c * math.exp(x) for c, x in zip(counts, logits, strict=True))
        losses.append(math.log(total) - target)
    return mean(losses)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weight", [None, 0.0, 0.3, 1.0])
def test_nt_xent(smoothing, weight):
    z, groups = views(0), torch.tensor([4, 9, 4, 4, 2])
    if weight is None:
        assert nt_xent(z, 0.3, smoothing).item() == pytest.approx(
            nt_xent_loop(z, 0.3, smoothing), rel=1e-12
        )
        return
    ours = nt_xent(z.requires_grad_(), 0.3, smoothing, groups, weight)
    assert ours.item() == pytest.approx(
        nt_xent_loop(z.detach(), 0.3, smoothing, groups, weight), rel=1e-7
    )
    ours.backward()
    assert torch.isfinite(z.grad).all()


def test_contrastive_passes_its_arguments():
    z, groups = views(0), torch.tensor([4, 9, 4, 4, 2])
    objective = Contrastive(8, 0.3, smoothing=0.1, same_track_weight=0.2)
    assert objective.needs_groups and not Contrastive(8).needs_groups
    expected = nt_xent(z, 0.3, 0.1, groups, 0.2)
    assert torch.equal(objective.loss(z, None, 0.0, groups=groups).total, expected)
    for wrong in ({"smoothing": 1.0}, {"same_track_weight": 1.5}):
        with pytest.raises(SslAudioError, match=next(iter(wrong))):
            Contrastive(8, **wrong)


@pytest.mark.parametrize("seen", [1, 2, 3])
def test_byol_and_clustering_with_a_teacher_of_the_first_views(seen):
    z, t = views(0), views(1, seen)
    pairs = [(v, w) for v, w in product(range(V), range(seen)) if v != w]
    expected = mean(2 - 2 * cosine(z[v, n], t[w, n]) for v, w in pairs for n in range(N))
    assert byol_loss(z, t).item() == pytest.approx(expected, rel=1e-12)
    centre = torch.linspace(-1, 1, D, dtype=torch.float64)
    target = ((t - centre) / 0.5).exp()
    target = target / target.sum(-1, keepdim=True)
    guess = (z / 0.2).exp()
    guess = guess / guess.sum(-1, keepdim=True)
    expected = mean(-float(target[w, n] @ guess[v, n].log()) for v, w in pairs for n in range(N))
    assert clustering_loss(z, t, centre, 0.2, 0.5).item() == pytest.approx(expected, rel=1e-12)
    for kind in (BYOL, Clustering):
        objective = kind(8, projector_sizes=(8, D))
        assert torch.isfinite(objective.loss(z.float(), t.float(), 0.5).total)
        objective.after_step(t.float(), 0.5)


def test_a_teacher_of_more_views_or_other_rows_is_refused():
    for wrong in (views(1, 4), views(1)[:, :4], views(1)[:0]):
        with pytest.raises(SslAudioError, match="must have the same shape"):
            byol_loss(views(0), wrong)


def test_barlow_twins_and_vicreg():
    z = views(0)
    unit = (z - z.mean(1, keepdim=True)) / (z.var(1, keepdim=True, correction=0) + 1e-5).sqrt()
    losses = []
    for a, b in combinations(unit, 2):
        c = a.T @ b / N
        entries = [((1 - c[i, i]) ** 2 if i == j else 0.1 * c[i, j] ** 2)
                   for i, j in product(range(D), range(D))]  # fmt: skip
        losses.append(float(sum(entries)))
    assert barlow_twins_loss(z, 0.1).item() == pytest.approx(mean(losses), rel=1e-12)
    invariance = mean(float((a - b).square().mean()) for a, b in combinations(z, 2))
    hinge = mean(
        max(0.0, 1 - math.sqrt(float(view[:, d].var()) + 1e-4)) for view in z for d in range(D)
    )
    covariance = 0.0
    for view in z:
        c = torch.cov(view.T)
        covariance += float(sum(c[i, j] ** 2 for i in range(D) for j in range(D) if i != j)) / D
    expected = 3 * invariance + 2 * hinge + 0.5 * 2 * covariance / V
    assert vicreg_loss(z, 3.0, 2.0, 0.5).item() == pytest.approx(expected, rel=1e-12)
