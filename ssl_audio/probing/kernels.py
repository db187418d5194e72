"""The parts of a probe's training step that are no matrix products: loss gradient and Adam.

With bfloat16 products on the processor each is one fused pass over memory, compiled by numba;
elsewhere torch's operators compute the same.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.optim.adam import adam

from ssl_audio.datasets.dataset import UNLABELLED
from ssl_audio.io.compiled import compiled

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam
BLOCK = 1024  # numbers in one pass of conversion, update and conversion: they fit the L1 cache
# fast math without the assumption that all numbers are finite
fused = compiled(error_model="numpy", fastmath={"contract", "reassoc", "arcp", "nsz"})


class LogisticGradient:
    """The gradient of weighted binary cross-entropy with respect to the logits and their bias.

    For each row, (sigmoid(z + bias) - y) times its weight (Bishop 2006, equation 4.109), and 0
    where y is UNLABELLED.
    """

    def __init__(self, z: Tensor, bias: Tensor, targets: Tensor, total: Tensor) -> None:
        """
        Args:
            z: (P, T, B) buffer of the logits without their bias; float32 or bfloat16.
            bias: (P, T, 1) float32.
            targets: (rows of the training set, T) uint8: 0, 1 or UNLABELLED.
            total: (P, T, 1) float32 buffer of the bias gradient.
        """
        self._partial = bool((targets == UNLABELLED).any())
        self.z, self.bias, self.targets, self.total = z, bias, targets, total
        self._fused = _fused(z.dtype, z.device)
        if self._fused:
            self._memory = (_bits(z), bias.numpy(), targets.numpy(), total.numpy())

    def __call__(self, rows: Tensor, weights: Tensor) -> None:
        """Overwrite the logits and the bias gradient with the gradients.

        Args:
            rows: (P, B) rows of `targets`.
            weights: (P, B) float32 weights of the rows.
        """
        if self._fused:
            _logistic_gradient(*self._memory, rows.numpy(), weights.numpy())
            return
        y = self.targets.index_select(0, rows.flatten()).view(*rows.shape, -1)
        y = y.transpose(1, 2)
        gradient = (self.z + self.bias).sigmoid_().sub_(y).mul_(weights[:, None, :])
        if self._partial:
            gradient.mul_(y != UNLABELLED)
        torch.sum(gradient, 2, keepdim=True, out=self.total)
        self.z.copy_(gradient)


class SoftmaxGradient:
    """The gradient of weighted cross-entropy over classes, used as `LogisticGradient`.

    For each row, (softmax(z + bias) - y) times its weight (Bishop 2006, equation 4.109).
    """

    def __init__(self, z: Tensor, bias: Tensor, targets: Tensor, total: Tensor) -> None:
        self.z, self.bias, self.targets, self.total = z, bias, targets, total

    def __call__(self, rows: Tensor, weights: Tensor) -> None:
        y = self.targets.index_select(0, rows.flatten()).view(*rows.shape, -1).transpose(1, 2)
        gradient = (self.z + self.bias).softmax(1).sub_(y).mul_(weights[:, None, :])
        torch.sum(gradient, 2, keepdim=True, out=self.total)
        self.z.copy_(gradient)


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1), in place, with mixed precision.

    Attributes:
        layers: weights and biases, float32.
        products: the layers' weights in the type of the matrix products, up to date.
        gradients: buffers for a weight's gradient in the type of the products and a bias' in
            float32, to be filled before each step.
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
        """Arguments of `_update_half` for a layer's weight, and of `_update` for its bias."""
        product, (gradient, of_bias) = self.products[depth], self.gradients[depth]
        weight, bias = (
            [_flat(kind[k]) for kind in (self._parameters, self._first, self._second)]
            for k in (2 * depth, 2 * depth + 1)
        )
        half = (_bits(gradient.view(-1)), weight[0].view(np.int32), _bits(product.view(-1)))
        return (*half, *weight), (_flat(of_bias), *bias)

    def step(self) -> None:
        """Update the layers by the gradients."""
        if self._fused:
            self._fused_step()
            return
        # the function, since the bookkeeping of torch.optim.Adam takes as long as the update
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
            _update_half(*weight, constants)
            _update(*bias, constants)


def _fused(dtype: torch.dtype, device: torch.device) -> bool:
    return dtype == torch.bfloat16 and device.type == "cpu"


def _bits(tensor: Tensor) -> np.ndarray:
    """The memory of a bfloat16 tensor as int16, since numpy has no bfloat16."""
    return tensor.view(torch.int16).numpy()


def _flat(tensor: Tensor) -> np.ndarray:
    return tensor.view(-1).numpy()


@fused
def _widen(half: np.ndarray, bits: np.ndarray) -> None:
    """bfloat16 to float32, both as bits."""
    for i in range(half.shape[0]):
        bits[i] = np.int32(half[i]) << np.int32(16)


@fused
def _narrow(bits: np.ndarray, half: np.ndarray) -> None:
    """float32 to bfloat16, both as bits; rounded to nearest, ties to even."""
    for i in range(bits.shape[0]):
        u = bits[i]
        odd = (u >> np.int32(16)) & np.int32(1)
        half[i] = np.int16((u + np.int32(0x7FFF) + odd) >> np.int32(16))


@fused
def _update(
    gradient: np.ndarray, p: np.ndarray, m: np.ndarray, v: np.ndarray, constants: np.ndarray
) -> None:
    """One step with a float32 gradient; m and v are its first and second moments."""
    beta1, rest1, beta2, rest2, rate, root, epsilon, decay = constants
    for i in range(p.shape[0]):
        g = gradient[i] + decay * p[i]
        first = beta1 * m[i] + rest1 * g
        second = beta2 * v[i] + rest2 * g * g
        m[i] = first
        v[i] = second
        p[i] -= rate * first / (np.sqrt(second) * root + epsilon)


@fused
def _update_half(
    gradient: np.ndarray,
    bits: np.ndarray,
    product: np.ndarray,
    p: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    constants: np.ndarray,
) -> None:
    """One step with a bfloat16 gradient; `bits` views p, `product` receives p in bfloat16."""
    wide = np.empty(BLOCK, np.int32)
    for start in range(0, p.shape[0], BLOCK):
        end = min(start + BLOCK, p.shape[0])
        _widen(gradient[start:end], wide)
        g = wide.view(np.float32)[: end - start]
        _update(g, p[start:end], m[start:end], v[start:end], constants)
        _narrow(bits[start:end], product[start:end])


@fused
def _logistic_gradient(
    z: np.ndarray,
    bias: np.ndarray,
    targets: np.ndarray,
    total: np.ndarray,
    rows: np.ndarray,
    weights: np.ndarray,
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
            sum_ = np.float32(0)
            for r in range(batch):
                d = (_sigmoid(wide[r] + b) - y[r]) * weights[p, r]
                d = d if y[r] < UNLABELLED else np.float32(0)
                wide[r] = d
                sum_ += d
            total[p, t, 0] = sum_
            _narrow(bits, z[p, t])


@fused
def _sigmoid(z: np.float32) -> np.float32:
    """1 / (1 + exp(-z)) to 1e-6, by arithmetic that vectorises.

    (1 + tanh(z / 2)) / 2, where tanh(z / 8) = n / d is Lambert's continued fraction to seven terms;
    tanh(2 u) = 2 n d / (n n + d d) is applied twice, with one division.
    """
    u = np.float32(0.125) * max(np.float32(-18), min(np.float32(18), z))
    q = u * u
    n = u * (np.float32(135135) + q * (np.float32(17325) + q * (np.float32(378) + q)))
    d = np.float32(135135) + q * (np.float32(62370) + q * (np.float32(3150) + q * np.float32(28)))
    n, d = np.float32(2) * n * d, n * n + d * d
    return np.float32(0.5) + n * d / (n * n + d * d)
