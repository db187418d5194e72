"""Adam with the matrix products in another type than the weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.adam import adam


class MixedAdam:
    """Adam (Kingma and Ba 2015, algorithm 1) on float32 weights with gradients of another type.

    Attributes:
        layers: weights and biases, float32.
        products: the layers' weights in the type of the matrix products, up to date.
        gradients: buffers to be filled before each step: of a weight in the type of the products,
            of a bias in float32.
    """

    def __init__(
        self,
        layers: list[tuple[Tensor, Tensor]],
        dtype: torch.dtype,
        learning_rate: float,
        weight_decay: float,
    ) -> None:
        self.layers, self.learning_rate, self.weight_decay = layers, learning_rate, weight_decay
        self.products = [weight.to(dtype) for weight, _ in layers]
        self.gradients = [
            (torch.empty_like(weight, dtype=dtype), torch.empty_like(bias))
            for weight, bias in layers
        ]
        self._parameters = [tensor for layer in layers for tensor in layer]
        self._means = [torch.zeros_like(p) for p in self._parameters]
        self._squares = [torch.zeros_like(p) for p in self._parameters]
        self._steps = [torch.zeros((), device=p.device) for p in self._parameters]

    def step(self) -> None:
        """Update the layers by the gradients."""
        # the function, since the bookkeeping of torch.optim.Adam takes as long as the update
        adam(
            self._parameters,
            [gradient.float() for layer in self.gradients for gradient in layer],
            self._means, self._squares, [], self._steps,
            fused=True, amsgrad=False, beta1=0.9, beta2=0.999, lr=self.learning_rate,
            weight_decay=self.weight_decay, eps=1e-8, maximize=False,
        )  # fmt: skip
        for product, (weight, _) in zip(self.products, self.layers, strict=True):
            if product is not weight:
                product.copy_(weight)
