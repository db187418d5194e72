"""The parts of a probe's training step that are no matrix products: loss gradient and Adam."""

import torch
from torch import Tensor
from torch.optim.adam import adam

from ssl_audio.datasets.dataset import UNLABELLED

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam


class LossGradient:
    """The gradient of weighted cross-entropy with respect to the logits and their bias.

    For each row, (sigmoid(z + bias) - y) times its weight (Bishop 2006, equation 4.109), and 0
    where y is UNLABELLED; for rows of one tag each, softmax in place of the sigmoid.
    """

    def __init__(
        self, z: Tensor, bias: Tensor, targets: Tensor, total: Tensor, single_label: bool
    ) -> None:
        """
        Args:
            z: (P, T, B) buffer of the logits without their bias; float32 or bfloat16.
            bias: (P, T, 1) float32.
            targets: (rows of the training set, T) uint8: 0, 1 or UNLABELLED.
            total: (P, T, 1) float32 buffer of the bias gradient.
            single_label: each row has exactly one tag.
        """
        self.z, self.bias, self.targets, self.total = z, bias, targets, total
        self.single_label = single_label
        self._partial = bool((targets == UNLABELLED).any())

    def __call__(self, rows: Tensor, weights: Tensor) -> None:
        """Overwrite the logits and the bias gradient with the gradients.

        Args:
            rows: (P, B) rows of `targets`.
            weights: (P, B) float32 weights of the rows.
        """
        y = self.targets.index_select(0, rows.flatten()).view(*rows.shape, -1).transpose(1, 2)
        logits = self.z + self.bias
        gradient = logits.softmax(1) if self.single_label else logits.sigmoid_()
        gradient.sub_(y).mul_(weights[:, None, :])
        if self._partial:
            gradient.mul_(y != UNLABELLED)
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

    def step(self) -> None:
        """Update the layers by the gradients."""
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
