"""Every loss against formulas written out in loops, against lightly, and by gradcheck."""

import math

import pytest
import torch
import torch.nn.functional as F

from ssl_audio.errors import SslAudioError
from ssl_audio.objectives.barlow_twins import barlow_twins, barlow_twins_terms
from ssl_audio.objectives.byol import byol_loss
from ssl_audio.objectives.clustering import cluster_assignment, cluster_cross_entropy
from ssl_audio.objectives.contrastive import mean_similarities, nt_xent
from ssl_audio.objectives.vicreg import vicreg, vicreg_terms


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cos(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def ordered_pairs(views, pairs):
    return [
        (v, w, n) for v in range(views) for w in range(views) for n in range(pairs) if v != w
    ]


def nt_xent_loops(z, temperature):
    """The paper's Eq. 1, one log term for each (segment, positive)."""
    views, pairs, _ = z.shape
    rows = z.tolist()
    terms = []
    for v, w, n in ordered_pairs(views, pairs):
        denominator = sum(
            math.exp(cos(rows[v][n], rows[u][m]) / temperature)
            for u in range(views)
            for m in range(pairs)
            if (u, m) != (v, n)
        )
        terms.append(math.log(denominator) - cos(rows[v][n], rows[w][n]) / temperature)
    return sum(terms) / len(terms)


@pytest.mark.parametrize("views", [2, 3, 4])
def test_nt_xent_equals_loops(views):
    z = random(views, 5, 6)
    assert nt_xent(z, 0.1).item() == pytest.approx(nt_xent_loops(z, 0.1), rel=1e-10)


def test_nt_xent_does_not_sum_positives_inside_the_log():
    """With three views the two readings differ; ours is the mean of log terms."""
    z = random(3, 4, 6)
    unit = F.normalize(z.flatten(0, 1), dim=-1)
    e = (unit @ unit.T / 0.1).exp().fill_diagonal_(0)
    track = torch.arange(4).repeat(3)
    same = (track[:, None] == track) & ~torch.eye(12, dtype=torch.bool)
    inside = -((e * same).sum(1) / e.sum(1)).log().mean()
    assert abs(nt_xent(z, 0.1) - inside) > 0.1


def test_nt_xent_equals_lightly():
    from lightly.loss import NTXentLoss

    z = random(2, 16, 8).float()
    expected = NTXentLoss(temperature=0.1)(z[0], z[1])
    torch.testing.assert_close(nt_xent(z, 0.1), expected, rtol=1e-5, atol=1e-5)


def test_nt_xent_of_equal_rows_is_the_log_of_the_number_of_others():
    z = torch.ones(3, 7, 4, dtype=torch.float64)
    assert nt_xent(z).item() == pytest.approx(math.log(20))


def test_nt_xent_pairs_the_same_track_of_both_views():
    z = torch.eye(6, dtype=torch.float64)
    assert nt_xent(torch.stack([z, z])) < 0.01
    assert nt_xent(torch.stack([z, z.roll(1, 0)])) > 5


def test_nt_xent_of_a_large_batch_needs_little_memory():
    """256 pairs of 2048 in a matrix product; broadcasting every pair would take gigabytes."""
    z = torch.randn(2, 256, 2048, requires_grad=True)
    with torch.profiler.profile(profile_memory=True) as profile:
        nt_xent(z).backward()
    assert max(event.cpu_memory_usage for event in profile.events()) < 100e6


def test_mean_similarities_equal_loops():
    rows = random(3, 5, 6)
    positive, negative = [], []
    for v in range(3):
        for w in range(3):
            for n in range(5):
                for m in range(5):
                    similarity = cos(rows[v, n].tolist(), rows[w, m].tolist())
                    if n == m and v != w:
                        positive.append(similarity)
                    elif n != m:
                        negative.append(similarity)
    ours = mean_similarities(rows)
    assert ours[0].item() == pytest.approx(sum(positive) / len(positive))
    assert ours[1].item() == pytest.approx(sum(negative) / len(negative))


@pytest.mark.parametrize("views", [2, 3])
def test_byol_equals_loops(views):
    p, t = random(views, 5, 6), random(views, 5, 6, seed=1)
    terms = [
        2 - 2 * cos(p[v, n].tolist(), t[w, n].tolist()) for v, w, n in ordered_pairs(views, 5)
    ]
    assert byol_loss(p, t).item() == pytest.approx(sum(terms) / len(terms), rel=1e-10)


def test_byol_equals_lightly():
    from lightly.loss import NegativeCosineSimilarity

    p, t = random(2, 9, 6), random(2, 9, 6, seed=1)
    cosine = NegativeCosineSimilarity()
    torch.testing.assert_close(byol_loss(p, t), 2 + cosine(p[0], t[1]) + cosine(p[1], t[0]))


def test_byol_cosine_is_over_features_not_over_the_batch():
    """Rescaling one track's vector changes a cosine along the batch, never one along features."""
    p, t = random(2, 5, 6), random(2, 5, 6, seed=1)
    scaled = p.clone()
    scaled[:, 2] *= 100
    torch.testing.assert_close(byol_loss(scaled, t), byol_loss(p, t))


def test_the_teacher_gets_no_gradient():
    student = random(2, 4, 6).requires_grad_()
    teacher = random(2, 4, 6, seed=1).requires_grad_()
    loss = byol_loss(student, teacher)
    (loss + cluster_cross_entropy(student, teacher, torch.zeros(6).double())).backward()
    assert teacher.grad is None and student.grad is not None


def softmax(row):
    e = [math.exp(x) for x in row]
    return [x / sum(e) for x in e]


@pytest.mark.parametrize("views", [2, 3])
def test_clustering_equals_loops(views):
    s, t, centre = random(views, 4, 5), random(views, 4, 5, seed=1), random(5, seed=2)
    terms = []
    for v, w, n in ordered_pairs(views, 4):
        target = softmax(((t[v, n] - centre) / 0.04).tolist())
        ours = softmax((s[w, n] / 0.1).tolist())
        terms.append(-sum(q * math.log(p) for q, p in zip(target, ours, strict=True)))
    loss = cluster_cross_entropy(s, t, centre, 0.1, 0.04)
    assert loss.item() == pytest.approx(sum(terms) / len(terms), rel=1e-10)


def test_clustering_equals_lightly():
    from lightly.loss import DINOLoss

    s, t = random(2, 8, 16).float(), random(2, 8, 16, seed=1).float()
    theirs = DINOLoss(output_dim=16, student_temp=0.1, teacher_temp=0.04)
    theirs.center.copy_(random(16, seed=2).float())
    ours = cluster_cross_entropy(s, t, theirs.center.flatten().clone(), 0.1, 0.04)
    torch.testing.assert_close(ours, theirs(list(t), list(s), teacher_temp=0.04))


def test_assignment_sharpens_and_centres():
    t = torch.tensor([[1.0, 0.9, 0.0]])
    soft = cluster_assignment(t, torch.zeros(3), 1.0)
    sharp = cluster_assignment(t, torch.zeros(3), 0.01)
    assert sharp.max() > 0.99 > soft.max()
    torch.testing.assert_close(cluster_assignment(t, t[0], 0.1), torch.full((1, 3), 1 / 3))


def standardised_columns(view):
    columns = []
    for x in view.T.tolist():
        mean = sum(x) / len(x)
        variance = sum((y - mean) ** 2 for y in x) / len(x)
        columns.append([(y - mean) / math.sqrt(variance + 1e-5) for y in x])
    return columns


def test_barlow_twins_equals_loops():
    z = random(2, 6, 4)
    a, b = (standardised_columns(view) for view in z)
    on = off = 0.0
    for i in range(4):
        for j in range(4):
            c = sum(x * y for x, y in zip(a[i], b[j], strict=True)) / 6
            on, off = (on + (1 - c) ** 2, off) if i == j else (on, off + c**2)
    assert barlow_twins(z, 0.01).item() == pytest.approx(on + 0.01 * off, rel=1e-10)
    mean = barlow_twins(z, 0.01, scale="mean").item()
    assert mean == pytest.approx((on + 0.01 * off) / 4, rel=1e-10)


def test_barlow_twins_equals_lightly():
    from lightly.loss import BarlowTwinsLoss

    z = random(2, 32, 16).float()
    expected = BarlowTwinsLoss(lambda_param=5e-3)(z[0], z[1])
    torch.testing.assert_close(barlow_twins(z, 5e-3), expected, rtol=1e-4, atol=1e-4)


def test_barlow_twins_of_three_views_is_the_mean_over_pairs():
    z = random(3, 8, 5)
    pairs = [barlow_twins(z[[i, j]]) for i, j in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(barlow_twins(z), torch.stack(pairs).mean())
    assert barlow_twins_terms(z[[0, 0]])[0] < 1e-6


def test_vicreg_equals_loops():
    z = random(2, 6, 4) * 0.5
    n, d = 6, 4
    differences = (z[0] - z[1]).flatten().tolist()
    invariance = sum(x * x for x in differences) / (n * d)
    variance = covariance = 0.0
    for view in z:
        x = view.tolist()
        mean = [sum(x[i][k] for i in range(n)) / n for k in range(d)]
        for k in range(d):
            for m in range(d):
                c = sum((x[i][k] - mean[k]) * (x[i][m] - mean[m]) for i in range(n)) / (n - 1)
                if k == m:
                    variance += 0.5 * max(0.0, 1 - math.sqrt(c + 1e-4)) / d  # the factor 1/2
                else:
                    covariance += c * c / d  # no factor
    terms = [term.item() for term in vicreg_terms(z)]
    assert terms == pytest.approx([invariance, variance, covariance], rel=1e-10)
    expected = 25 * invariance + 25 * variance + covariance
    assert vicreg(z).item() == pytest.approx(expected, rel=1e-10)


def test_vicreg_equals_lightly():
    from lightly.loss import VICRegLoss

    z = random(2, 32, 16).float() * 0.7
    torch.testing.assert_close(vicreg(z, 25, 25, 1), VICRegLoss()(z[0], z[1]), rtol=1e-4, atol=1e-4)


def like(z, *shape, seed):
    """Random numbers in the precision that the loss of `z` is computed in."""
    return random(*shape, seed=seed).to(torch.promote_types(z.dtype, torch.float32))


LOSSES = {
    "nt_xent": lambda z: nt_xent(z, 0.5),
    "byol": lambda z: byol_loss(z, like(z, *z.shape, seed=9)),
    "clustering": lambda z: cluster_cross_entropy(
        z, like(z, *z.shape, seed=9), like(z, z.shape[-1], seed=8), 0.5, 0.4
    ),
    "barlow_twins": lambda z: barlow_twins(z, 0.1),
    "vicreg": lambda z: vicreg(z, 2.0, 3.0, 1.0),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("views", [2, 3])
def test_gradient(name, views):
    z = (random(views, 4, 3, seed=3) * 0.8).requires_grad_()
    assert torch.autograd.gradcheck(LOSSES[name], z)


@pytest.mark.parametrize("name", LOSSES)
def test_float32_under_autocast(name):
    z = random(2, 8, 16).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = LOSSES[name](z)
        half = LOSSES[name](z.bfloat16())
    assert inside.dtype == half.dtype == torch.float32
    torch.testing.assert_close(inside, LOSSES[name](z), rtol=0, atol=0)
    torch.testing.assert_close(half, LOSSES[name](z.bfloat16().float()), rtol=0, atol=0)


def test_terms_of_mixed_precision():
    """A bfloat16 student beside a float32 teacher, as after gathering, or the reverse."""
    student, teacher = random(2, 8, 16), random(2, 8, 16, seed=1)
    for s, t in ((student.bfloat16(), teacher.float()), (student.float(), teacher.bfloat16())):
        assert byol_loss(s, t).dtype == torch.float32
        assert cluster_cross_entropy(s, t, torch.zeros(16)).dtype == torch.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nt_xent(torch.ones(2, 4, 3), 0.0), "temperature=0.0"),
        (lambda: nt_xent(torch.ones(2, 4, 3), -1.0), "temperature=-1.0"),
        (lambda: nt_xent(torch.ones(2, 1, 3)), "batch of one"),
        (lambda: nt_xent(torch.ones(4, 3)), r"\(4, 3\)"),
        (lambda: nt_xent(torch.ones(1, 4, 3)), r"\(1, 4, 3\)"),
        (lambda: byol_loss(torch.ones(2, 4, 3), torch.ones(2, 5, 3)), r"\(2, 5, 3\)"),
        (lambda: barlow_twins(torch.ones(2, 4, 3), -0.5), "off_diagonal=-0.5"),
        (lambda: barlow_twins(torch.ones(2, 4, 3), scale="max"), "scale=max"),
        (lambda: barlow_twins(torch.ones(2, 1, 3)), "batch of one"),
        (lambda: vicreg(torch.ones(2, 1, 3)), "batch of one"),
        (lambda: vicreg(torch.ones(2, 4, 3), covariance=-1.0), "covariance=-1.0"),
        (
            lambda: cluster_cross_entropy(
                torch.ones(2, 4, 3), torch.ones(2, 4, 3), torch.zeros(3), 0.1, 0.0
            ),
            "teacher_temperature=0.0",
        ),
    ],
)
def test_errors_show_the_value(call, message):
    with pytest.raises(SslAudioError, match=message):
        call()
