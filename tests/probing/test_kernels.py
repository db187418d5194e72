"""The steps of the probes against formulas in float64 and against torch."""

import pytest
import torch

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.probing.kernels import Adam, LossGradient

TYPES = [torch.float32, torch.bfloat16]
PRECISION = {torch.float32: 1e-6, torch.bfloat16: 2**-8}  # relative, of one rounding


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("values", [2, 3])  # with 3, cells that are not labelled
def test_logistic_gradient(dtype, values):
    generator = torch.Generator().manual_seed(0)
    z = (3 * torch.randn(2, 5, 37, generator=generator)).to(dtype)
    bias = torch.randn(2, 5, 1, generator=generator)
    targets = torch.randint(0, values, (60, 5), generator=generator, dtype=torch.uint8)
    rows = torch.randint(0, 60, (2, 37), generator=generator)
    each = torch.rand(2, 37, generator=generator)
    each[1, -4:] = 0  # padding
    y = targets[rows].transpose(1, 2).double()
    expected = ((z.double() + bias).sigmoid() - y) * each[:, None] * (y != UNLABELLED)
    total = torch.full_like(bias, torch.nan)
    LossGradient(z, bias, targets, total, single_label=False)(rows, each)
    torch.testing.assert_close(z.double(), expected, rtol=PRECISION[dtype], atol=1e-6)
    torch.testing.assert_close(total.double(), expected.sum(2, keepdim=True), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", TYPES)
def test_softmax_gradient(dtype):
    generator = torch.Generator().manual_seed(0)
    z = (3 * torch.randn(2, 5, 37, generator=generator)).to(dtype)
    bias = torch.randn(2, 5, 1, generator=generator)
    classes = torch.randint(0, 5, (60,), generator=generator)
    rows = torch.randint(0, 60, (2, 37), generator=generator)
    each = torch.rand(2, 37, generator=generator)
    logits = (z.double() + bias).requires_grad_()
    losses = torch.nn.functional.cross_entropy(logits, classes[rows], reduction="none")
    (losses * each).sum().backward()
    total = torch.full_like(bias, torch.nan)
    targets = torch.nn.functional.one_hot(classes, 5).to(torch.uint8)
    LossGradient(z, bias, targets, total, single_label=True)(rows, each)
    torch.testing.assert_close(z.double(), logits.grad, rtol=PRECISION[dtype], atol=1e-6)
    expected = logits.grad.sum(2, keepdim=True)
    torch.testing.assert_close(total.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_is_torchs(dtype, decay):
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 7, 500), (3, 4, 7)]
    layers = [
        (torch.randn(shape, generator=generator), torch.randn(*shape[:2], 1, generator=generator))
        for shape in shapes
    ]
    theirs = [tensor.double().requires_grad_() for layer in layers for tensor in layer]
    optimizer = torch.optim.Adam(theirs, lr=0.01, weight_decay=decay)
    adam = Adam(layers, dtype, 0.01, decay)
    for _ in range(20):
        for gradient in (g for layer in adam.gradients for g in layer):
            gradient.copy_(torch.randn(gradient.shape, generator=generator) * 1e-3)
        for parameter, gradient in zip(
            theirs, (g for layer in adam.gradients for g in layer), strict=True
        ):
            parameter.grad = gradient.double()
        adam.step()
        optimizer.step()
    ours = [tensor for layer in layers for tensor in layer]
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.double(), other.detach(), rtol=1e-5, atol=1e-6)
    for product, (weight, _) in zip(adam.products, layers, strict=True):
        assert torch.equal(product, weight.to(dtype))
