"""Optimisers of any class."""

import pytest
import torch

from ssl_audio.pretrain import COMMAND
from ssl_audio.training.optimizer import build_optimizer

DEFAULT = {"lr": 1e-3, "betas": (0.9, 0.95)}


@pytest.mark.parametrize(
    ("target", "words", "expected"),
    [
        (None, [], DEFAULT),
        ("torch.optim.AdamW", ["lr=1e-4"], {**DEFAULT, "lr": 1e-4}),
        ("torch.optim.SGD", [], {"lr": 1e-3, "momentum": 0}),
        ("torch.optim.SGD", ["lr=0.3", "momentum=0.9"], {"lr": 0.3, "momentum": 0.9}),
        ("timm.optim.lars.Lars", ["lr=0.3"], {"lr": 0.3, "trust_coeff": 0.001}),
        ("timm.optim.Muon", [], {"lr": 0.02, "momentum": 0.95}),
        ("torch.optim.Adam", [], {"lr": 1e-3, "betas": (0.9, 0.999)}),
    ],
)
def test_another_class_has_its_own_defaults_and_the_given_arguments(target, words, expected):
    chosen = [] if target is None else [f"optimizer._target_={target}"]
    settings = COMMAND.load(["recipe=byol", *chosen, *(f"optimizer.{word}" for word in words)])
    made = build_optimizer(settings)([torch.nn.Parameter(torch.ones(3, 2))])
    assert {name: made.defaults[name] for name in expected} == expected
    assert ("betas" in made.defaults) == ("betas" in expected or "Muon" in str(target))
