"""Whitening of the embedding, as a part of the network's last layer.

Pretraining leaves a few directions of the embedding with nearly all variance. Linear probes with a
penalty, and cosines, then see little of the others, which hold information too.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import Encoder
from ssl_audio.models.evaluating import evaluating

CROPS = 8192  # from which the covariance is estimated; of fewer it is shrunk more


class Whitening(NamedTuple):
    """x -> matrix (x - mean), and its inverse."""

    mean: Tensor  # (D,)
    matrix: Tensor  # (D, D), symmetric
    inverse: Tensor  # (D, D)


def whitening(embeddings: Tensor, shrinkage: float) -> Whitening | None:
    """The map to embeddings of mean 0, uncorrelated but for the shrinkage, of mean variance 1.

    With mean m and covariance C over the rows, matrix = s (C + a tr(C) / D I)^(-1/2), where a is
    the shrinkage, times CROPS / N of fewer rows, and s gives the dimensions a mean variance of 1
    (ZCA whitening, Kessy et al. 2018, of the shrunk covariance).

    Args:
        embeddings: (N, D) of crops.
        shrinkage: above 0; the larger, the less directions of small variance are amplified.

    Returns:
        The map in float64; None if all rows are equal or one.

    Example:
        >>> rows = torch.randn(CROPS, 2, generator=torch.Generator().manual_seed(0))
        >>> found = whitening(rows * torch.tensor([10.0, 0.1]), shrinkage=1e-9)
        >>> (found.matrix * torch.tensor([10.0, 0.1])).round(decimals=1).abs().tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    rows = embeddings.double()
    mean = rows.mean(dim=0)
    centred = rows - mean
    covariance = centred.T @ centred / max(1, len(rows) - 1)
    level = covariance.diagonal().mean()
    if not level > torch.finfo(torch.float32).eps * mean.square().mean():
        return None
    variances, axes = torch.linalg.eigh(covariance)
    variances = variances.clamp_min(0)
    shrunk = variances + shrinkage * max(1.0, CROPS / len(rows)) * level
    scale = (variances / shrunk).mean().rsqrt()
    roots = shrunk.sqrt()
    return Whitening(mean, axes * (scale / roots) @ axes.T, axes * (roots / scale) @ axes.T)


@torch.no_grad()
def whiten(encoder: Encoder, chosen: Whitening) -> None:
    """Change the last layer, so that the encoder gives whitened embeddings at no further cost.

    Raises:
        SslAudioError: the last layer is not linear.
    """
    layer = last_layer(encoder)
    bias = torch.zeros_like(chosen.mean) if layer.bias is None else layer.bias.double()
    layer.weight.copy_(chosen.matrix @ layer.weight.double())
    moved = chosen.matrix @ (bias - chosen.mean)
    layer.bias = nn.Parameter(moved.to(layer.weight.dtype))


def last_layer(encoder: Encoder) -> nn.Linear:
    """The linear layer whose output is the embedding.

    Raises:
        SslAudioError: there is none.
    """
    layers = [layer for layer in encoder.backbone.modules() if isinstance(layer, nn.Linear)]
    silence = torch.zeros(1, round(encoder.segment * encoder.sample_rate))
    if not layers or not _gives(layers[-1], encoder, silence.to(layers[-1].weight.device)):
        raise SslAudioError(
            f"encoder.whitening: the last layer of {encoder.backbone_name} is not linear; set "
            "encoder.whitening=null"
        )
    return layers[-1]


@torch.no_grad()
def _gives(layer: nn.Linear, encoder: Encoder, waveform: Tensor) -> bool:
    """Whether an affine change of a layer's outputs is one of the embedding.

    The embedding may be a choice or the mean of several outputs, such as those of patches.
    """
    if layer.out_features != encoder.embedding_size:
        return False
    with evaluating(encoder):
        before = encoder(waveform)
        moved = torch.linspace(-1, 1, before.shape[1], device=before.device) * before.abs().max()
        with layer.register_forward_hook(lambda _layer, _inputs, output: 2 * output + moved):
            return torch.allclose(encoder(waveform), 2 * before + moved, rtol=1e-3, atol=1e-5)
