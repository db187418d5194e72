"""The five classes behind the one interface."""

import copy
import doctest
import importlib

import pytest
import torch
from torch import nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.objectives.barlow_twins import BarlowTwins, barlow_twins_loss
from ssl_audio.objectives.byol import BYOL, byol_loss
from ssl_audio.objectives.clustering import Clustering
from ssl_audio.objectives.contrastive import Contrastive, nt_xent
from ssl_audio.objectives.ema import HalfLife
from ssl_audio.objectives.objective import Objective
from ssl_audio.objectives.projector import projector
from ssl_audio.objectives.schedules import Constant
from ssl_audio.objectives.vicreg import VICReg, vicreg_loss

TERMS = {
    Contrastive: {"positive_similarity", "negative_similarity"},
    BYOL: {"similarity"},
    Clustering: {"perplexity", "usage", "teacher_entropy"},
    BarlowTwins: {"on_diagonal", "off_diagonal"},
    VICReg: {"invariance", "variance", "covariance"},
}
SMALL = {"embedding_size": 8, "projector_sizes": (8, 8, 12)}


def views(objective, pairs=6):
    x = torch.randn(2 * pairs, 8, generator=torch.Generator().manual_seed(0))
    student = objective.predictor(objective.projector(x)).unflatten(0, (2, pairs))
    if objective.momentum is None:
        return student, None
    with torch.no_grad():
        return student, copy.deepcopy(objective.projector)(x).unflatten(0, (2, pairs))


@pytest.mark.parametrize("kind", TERMS)
def test_interface(kind):
    torch.manual_seed(0)
    objective = kind(**SMALL)
    assert isinstance(objective, Objective) and objective.min_batch_size == 2
    student, teacher = views(objective)
    state = copy.deepcopy(objective.state_dict())
    output = objective.loss(student, teacher, 0.3)
    for name, value in objective.state_dict().items():
        assert torch.equal(value, state[name]), f"loss changed {name}"
    assert output.total.ndim == 0 and torch.isfinite(output.total)
    assert set(output.terms) == TERMS[kind]
    for term in output.terms.values():
        assert term.ndim == 0 and not term.requires_grad and torch.isfinite(term)
    output.total.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in objective.parameters())


@pytest.mark.parametrize("kind", TERMS)
def test_batch_of_one_is_refused(kind):
    objective = kind(**SMALL)
    one = torch.randn(2, 1, 12)
    with pytest.raises(SslAudioError, match="a batch of 1:"):
        objective.loss(one, one if objective.momentum else None, 0.0)


@pytest.mark.parametrize("kind", [BYOL, Clustering])
def test_a_missing_teacher_is_refused(kind):
    with pytest.raises(SslAudioError, match="needs projections of a teacher"):
        kind(**SMALL).loss(torch.randn(2, 4, 12), None, 0.0)


def test_classes_use_their_settings():
    z, t = torch.randn(2, 6, 12), torch.randn(2, 6, 12)

    def total(objective):
        return objective.loss(z, t, 0.5).total

    torch.testing.assert_close(total(Contrastive(**SMALL, temperature=0.3)), nt_xent(z, 0.3))
    torch.testing.assert_close(total(BYOL(**SMALL)), byol_loss(z, t))
    for scale in ("sum", "mean"):
        ours = total(BarlowTwins(**SMALL, off_diagonal=0.1, scale=scale))
        torch.testing.assert_close(ours, barlow_twins_loss(z, 0.1, scale))
    weights = {"invariance": 3.0, "variance": 2.0, "covariance": 0.5}
    torch.testing.assert_close(total(VICReg(**SMALL, **weights)), vicreg_loss(z, **weights))


def test_momentum_and_temperature_over_the_run():
    for kind in (BYOL, Clustering):
        assert kind(**SMALL).momentum == HalfLife(0.02)
    temperature = Clustering(**SMALL).teacher_temperature
    assert [temperature(p) for p in (0, 0.05, 0.1, 1)] == pytest.approx([0.02, 0.03, 0.04, 0.04])
    assert BYOL(**SMALL, momentum=Constant(0.5)).momentum(0.7) == 0.5
    assert Contrastive(**SMALL).momentum is None


def test_centre_follows_the_teacher_and_is_a_buffer():
    from lightly.loss import DINOLoss

    objective, theirs = Clustering(**SMALL), DINOLoss(output_dim=12, center_momentum=0.9)
    for seed in range(3):
        teacher = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(seed))
        objective.after_step(teacher, 0.0)
        theirs(list(teacher), list(teacher), teacher_temp=0.04)
    torch.testing.assert_close(objective.centre, theirs.center.flatten())
    assert "centre" not in dict(objective.named_parameters())
    restored = Clustering(**SMALL)
    restored.load_state_dict(objective.state_dict())
    assert torch.equal(restored.centre, objective.centre)


def test_teacher_grows_softer_over_the_warm_up():
    objective = Clustering(**SMALL)
    z, t = torch.randn(2, 6, 12), torch.randn(2, 6, 12)
    entropy = [objective.loss(z, t, p).terms["teacher_entropy"].item() for p in (0.0, 0.05, 0.1)]
    assert entropy[0] < entropy[1] < entropy[2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Contrastive(temperature=0), "temperature=0:"),
        (lambda: Clustering(student_temperature=-0.1), "student_temperature=-0.1"),
        (lambda: Clustering(centre_momentum=1.0), "centre_momentum=1.0"),
        (lambda: BarlowTwins(off_diagonal=-1), "off_diagonal=-1"),
        (lambda: VICReg(variance=-2), "variance=-2"),
        (lambda: BYOL(hidden=0), "hidden=0"),
        (lambda: projector((5,)), r"sizes=\[5\]"),
    ],
)
def test_bad_settings_are_shown(make, message):
    with pytest.raises(SslAudioError, match=message):
        make()


def test_default_heads():
    kinds = [type(layer) for layer in Contrastive().projector]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 2 + [nn.Linear]
    widths = [m.weight.shape for m in BYOL().predictor if isinstance(m, nn.Linear)]
    assert widths == [(256, 2048), (2048, 256)]


@pytest.mark.parametrize("kind", TERMS)
def test_a_recipe_names_it(kind):
    import hydra.utils

    target = f"{kind.__module__}.{kind.__name__}"
    settings = {"_target_": target, "embedding_size": 4, "projector_sizes": [4, 6]}
    made = hydra.utils.instantiate(settings)
    assert isinstance(made, kind) and made.projector(torch.randn(3, 4)).shape == (3, 6)
    if made.momentum is not None:
        constant = {"_target_": "ssl_audio.objectives.schedules.Constant", "value": 0.9}
        assert hydra.utils.instantiate({**settings, "momentum": constant}).momentum(0) == 0.9


@pytest.mark.parametrize("kind", [BarlowTwins, VICReg])
def test_a_constant_batch_gives_finite_gradients(kind):
    z = torch.ones(2, 4, 12, requires_grad=True)
    kind(**SMALL).loss(z, None, 0.0).total.backward()
    assert torch.isfinite(z.grad).all()


def test_covariance_default_does_not_crush_the_variance():
    """With 32 times more dimensions than rows (64 of 2048 there), the best deviation is near 1."""
    z = torch.randn(16, 512, generator=torch.Generator().manual_seed(0))
    z = (z - z.mean(0)) / z.std(0)

    def best(covariance):
        spread = [0.3 + 0.02 * i for i in range(45)]
        totals = [vicreg_loss(torch.stack([s * z, s * z]), covariance=covariance) for s in spread]
        return spread[int(torch.stack(totals).argmin())]

    assert best(VICReg().weights["covariance"]) > 0.9
    assert best(1.0) < 0.6


@pytest.mark.parametrize("kind", TERMS)
def test_examples_of_the_losses(kind):
    result = doctest.testmod(importlib.import_module(kind.__module__))
    assert result.attempted and not result.failed


def test_public_names():
    import ssl_audio.objectives as public

    for name in public.__all__:
        assert getattr(public, name).__name__ == name
