"""What a step of the probes does besides its matrix products: their slope, and Adam.

Where products are bfloat16 and the device is the processor, each is one pass over what its caches
hold, compiled by numba and kept for the next time; elsewhere, torch's operators one by one. What is
computed is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor
from torch.optim.adam import adam

BETAS = (0.9, 0.999)  # Adam's, and its epsilon
EPSILON = 1e-8
BLOCK = 1024  # numbers that are converted, moved and converted back while the first cache has them


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, and keep it where a folder can be written to."""
    # every freedom but that of assuming that nothing is infinite or not a number
    options: Any = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"contract", "reassoc", "arcp", "nsz"},
    }
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no such folder, as in a container that is read-only
        return njit(**options)(function)


class LogisticSlope:
    """The gradient of weighted binary cross-entropy by the logits, and by their bias.

    sigmoid(z + bias) - y is simpler than the loss, which nobody asks for in a step (Bishop 2006,
    equation 4.109).
    """

    def __init__(self, z: Tensor, bias: Tensor, targets: Tensor, total: Tensor) -> None:
        """
        Args:
            z: (P, T, B) where the logits will be, without their bias; float32 or bfloat16.
            bias: (P, T, 1) float32.
            targets: (rows of the training set, T) uint8, 0 or 1.
            total: (P, T, 1) float32, where the gradient by the bias will be.
        """
        self.z, self.bias, self.targets, self.total = z, bias, targets, total
        self._fused = _fused(z.dtype, z.device)
        if self._fused:
            self._memory = (_bits(z), bias.numpy(), targets.numpy(), total.numpy())

    def __call__(self, rows: Tensor, each: Tensor) -> None:
        """Put the gradients where the logits and the total are.

        Args:
            rows: (P, B) of the targets.
            each: (P, B) float32, what a row weighs.
        """
        if self._fused:
            _slope(*self._memory, rows.numpy(), each.numpy())
            return
        y = self.targets.index_select(0, rows.flatten()).view(*rows.shape, -1)
        slope = (self.z + self.bias).sigmoid_().sub_(y.transpose(1, 2)).mul_(each[:, None, :])
        torch.sum(slope, 2, keepdim=True, out=self.total)
        self.z.copy_(slope)


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), in place, and the weights in the products' type.

    Attributes:
        layers: weights and biases, float32.
        products: weights to multiply by: those of the layers in the products' type, up to date.
        gradients: where they are to be before a step; a weight's in the products' type, a bias' in
            float32.
    """

    def __init__(
        self,
        layers: list[tuple[Tensor, Tensor]],
        dtype: torch.dtype,
        learning_rate: float,
        decay: float,
    ) -> None:
        self.layers, self.learning_rate, self.decay = layers, learning_rate, decay
        self.products = [weight.to(dtype) for weight, _ in layers]
        self.gradients = [
            (torch.empty_like(weight, dtype=dtype), torch.empty_like(bias))
            for weight, bias in layers
        ]
        self._parameters = [tensor for layer in layers for tensor in layer]
        self._first = [torch.zeros_like(p) for p in self._parameters]
        self._second = [torch.zeros_like(p) for p in self._parameters]
        self._steps = [torch.zeros((), device=p.device) for p in self._parameters]
        self._count = 0
        self._fused = _fused(dtype, self._parameters[0].device)
        if self._fused:
            self._memory = [self._memory_of(depth) for depth in range(len(layers))]

    def _memory_of(self, depth: int) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """What `_move_half` takes of a layer's weight, and `_move` of its bias."""
        product, (gradient, of_bias) = self.products[depth], self.gradients[depth]
        weight, bias = (
            [_flat(kind[k]) for kind in (self._parameters, self._first, self._second)]
            for k in (2 * depth, 2 * depth + 1)
        )
        half = (_bits(gradient.view(-1)), weight[0].view(np.int32), _bits(product.view(-1)))
        return (*half, *weight), (_flat(of_bias), *bias)

    def step(self) -> None:
        """Move the layers by the gradients."""
        if self._fused:
            self._fused_step()
            return
        # not by the optimizer's object, whose bookkeeping takes as long as a step of five probes
        adam(
            self._parameters,
            [gradient.float() for layer in self.gradients for gradient in layer],
            self._first,
            self._second,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self.learning_rate,
            weight_decay=self.decay,
            eps=EPSILON,
            maximize=False,
        )
        for product, (weight, _) in zip(self.products, self.layers, strict=True):
            if product is not weight:
                product.copy_(weight)

    def _fused_step(self) -> None:
        self._count += 1
        rate = self.learning_rate / (1 - BETAS[0] ** self._count)
        root = (1 - BETAS[1] ** self._count) ** -0.5
        numbers = (BETAS[0], 1 - BETAS[0], BETAS[1], 1 - BETAS[1], rate, root, EPSILON, self.decay)
        constants = np.array(numbers, np.float32)
        for weight, bias in self._memory:
            _move_half(*weight, constants)
            _move(*bias, constants)


def _fused(dtype: torch.dtype, device: torch.device) -> bool:
    return dtype == torch.bfloat16 and device.type == "cpu"


def _bits(tensor: Tensor) -> np.ndarray:
    """A bfloat16 tensor's memory, of a type that numpy has."""
    return tensor.view(torch.int16).numpy()


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.view(-1).numpy()


@compiled
def _widen(half: np.ndarray, bits: np.ndarray) -> None:
    """bfloat16 to the bits of float32."""
    for i in range(half.shape[0]):
        bits[i] = np.int32(half[i]) << np.int32(16)


@compiled
def _narrow(bits: np.ndarray, half: np.ndarray) -> None:
    """The bits of float32 to bfloat16, to the nearest and, between two, the even one."""
    for i in range(bits.shape[0]):
        u = bits[i]
        odd = (u >> np.int32(16)) & np.int32(1)
        half[i] = np.int16((u + np.int32(0x7FFF) + odd) >> np.int32(16))


@compiled
def _move(
    gradient: np.ndarray, p: np.ndarray, m: np.ndarray, v: np.ndarray, constants: np.ndarray
) -> None:
    """A step by a float32 gradient; m and v are its first and second moments."""
    beta1, rest1, beta2, rest2, rate, root, epsilon, decay = constants
    for i in range(p.shape[0]):
        g = gradient[i] + decay * p[i]
        first = beta1 * m[i] + rest1 * g
        second = beta2 * v[i] + rest2 * g * g
        m[i] = first
        v[i] = second
        p[i] -= rate * first / (np.sqrt(second) * root + epsilon)


@compiled
def _move_half(
    gradient: np.ndarray,
    bits: np.ndarray,
    product: np.ndarray,
    p: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    constants: np.ndarray,
) -> None:
    """A step by a bfloat16 gradient; `bits` are those of p, `product` becomes p in bfloat16."""
    wide = np.empty(BLOCK, np.int32)
    for start in range(0, p.shape[0], BLOCK):
        end = min(start + BLOCK, p.shape[0])
        _widen(gradient[start:end], wide)
        g = wide.view(np.float32)[: end - start]
        _move(g, p[start:end], m[start:end], v[start:end], constants)
        _narrow(bits[start:end], product[start:end])


@compiled
def _slope(
    z: np.ndarray,
    bias: np.ndarray,
    targets: np.ndarray,
    total: np.ndarray,
    rows: np.ndarray,
    each: np.ndarray,
) -> None:
    probes, tags, batch = z.shape
    bits = np.empty(batch, np.int32)
    wide = bits.view(np.float32)
    y = np.empty(batch, np.float32)
    for p in range(probes):
        for t in range(tags):
            for r in range(batch):
                y[r] = targets[rows[p, r], t]
            _widen(z[p, t], bits)
            b = bias[p, t, 0]
            found = np.float32(0)
            for r in range(batch):
                d = (_sigmoid(wide[r] + b) - y[r]) * each[p, r]
                wide[r] = d
                found += d
            total[p, t, 0] = found
            _narrow(bits, z[p, t])


@compiled
def _sigmoid(z: np.float32) -> np.float32:
    """1 / (1 + exp(-z)) to 1e-6, by arithmetic that runs on many numbers at once.

    (1 + tanh(z / 2)) / 2, where tanh(z / 8) = n / d is Lambert's continued fraction to seven terms,
    and twice tanh(2 u) = 2 n d / (n n + d d), so that one division is enough.
    """
    u = np.float32(0.125) * max(np.float32(-18), min(np.float32(18), z))
    q = u * u
    n = u * (np.float32(135135) + q * (np.float32(17325) + q * (np.float32(378) + q)))
    d = np.float32(135135) + q * (np.float32(62370) + q * (np.float32(3150) + q * np.float32(28)))
    n, d = np.float32(2) * n * d, n * n + d * d
    return np.float32(0.5) + n * d / (n * n + d * d)
