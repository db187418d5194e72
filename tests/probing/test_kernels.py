"""The fused steps of the probes against formulas in float64 and against torch."""

import numpy as np
import pytest
import torch

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.probing.kernels import (
    Adam,
    LogisticGradient,
    SoftmaxGradient,
    _narrow,
    _sigmoid,
    _widen,
)

TYPES = [torch.float32, torch.bfloat16]
PRECISION = {torch.float32: 1e-6, torch.bfloat16: 2**-8}  # relative, of one rounding


def test_sigmoid():
    z = np.concatenate([np.linspace(-40, 40, 4001), [0.0, -1e30, 1e30]]).astype(np.float32)
    found = np.array([_sigmoid(value) for value in z])
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-z.astype(np.float64))), atol=2e-7)


def test_every_bfloat16_is_widened_and_narrowed():
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    wide = np.empty(len(every), np.int32)
    _widen(every.numpy(), wide)
    torch.testing.assert_close(
        torch.from_numpy(wide.view(np.float32)),
        every.view(torch.bfloat16).float(),
        rtol=0,
        atol=0,
        equal_nan=True,
    )
    numbers = np.isfinite(wide.view(np.float32))
    back = np.empty(len(every), np.int16)
    _narrow(wide, back)
    np.testing.assert_array_equal(back[numbers], every.numpy()[numbers])


def test_narrowed_as_torch_does_it():
    rng = np.random.default_rng(0)
    values = (rng.normal(size=10_000) * 10.0 ** rng.integers(-20, 20, 10_000)).astype(np.float32)
    values[:256] = 1 + np.arange(256, dtype=np.float32) / 256  # half of them are ties
    half = np.empty(len(values), np.int16)
    _narrow(values.view(np.int32), half)
    assert torch.equal(
        torch.from_numpy(half).view(torch.bfloat16), torch.from_numpy(values).to(torch.bfloat16)
    )


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
    gradient = LogisticGradient(z, bias, targets, total)
    assert gradient._fused == (dtype == torch.bfloat16)
    gradient(rows, each)
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
    SoftmaxGradient(z, bias, targets, total)(rows, each)
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
