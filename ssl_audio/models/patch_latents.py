"""The latents of chosen patches of log-mels, by a vision transformer."""

from typing import Any

import torch
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import Encoder
from ssl_audio.models.timm_network import PatchedNetwork


class PatchLatents(nn.Module):
    """Embeds some patches of log-mels; the transformer does not see the others.

    The latent of a patch is its token after the last block, passed through norm and head like the
    mean of the tokens, which is the encoder's embedding. Weights are those of the encoder.

    Args:
        encoder: of a vision transformer of timm whose embedding is the mean of its patches.

    Raises:
        SslAudioError: another network, or one with another embedding.
    """

    def __init__(self, encoder: Encoder) -> None:
        from timm.models.vision_transformer import VisionTransformer

        super().__init__()
        backbone: Any = encoder.backbone
        self.backbone = backbone
        network = backbone.network if isinstance(backbone, PatchedNetwork) else backbone
        name = getattr(encoder, "backbone_name", type(encoder).__name__)
        if type(network) is not VisionTransformer:
            raise SslAudioError(
                f"encoder.backbone={name}: this objective needs the patches of a vision "
                "transformer, such as vit_tiny_patch16_224"
            )
        if network.global_pool != "avg":
            raise SslAudioError(
                f"encoder.backbone={name}: its embedding is not the mean of its patches, which "
                "this objective trains: set encoder.pool=mean"
            )
        self.network = network

    def grid(self, logmels: Tensor) -> tuple[int, int]:
        """Patches along bands and frames of (rows, 1, n_mels, frames)."""
        bands, frames = self._padded(logmels[:1]).shape[2:]
        rows, columns = self.network.patch_embed.dynamic_feat_size((bands, frames))
        return int(rows), int(columns)

    def forward(self, logmels: Tensor, kept: Tensor) -> Tensor:
        """(rows, 1, n_mels, frames) and (rows, k) indices to (rows, k, embedding_size).

        Args:
            logmels: the network's input.
            kept: patches of each row that the network sees, counted along frames first.
        """
        network, first = self.network, self.network.num_prefix_tokens
        tokens = network._pos_embed(network.patch_embed(self._padded(logmels)))
        patches = tokens[:, first:]
        seen = patches.gather(1, kept[:, :, None].expand(-1, -1, patches.shape[2]))
        tokens = network.norm_pre(torch.cat([tokens[:, :first], seen], dim=1))
        latents = network.norm(network.blocks(tokens))[:, first:]
        return network.head(network.head_drop(network.fc_norm(latents)))

    def _padded(self, logmels: Tensor) -> Tensor:
        return self.backbone.padded(logmels) if self.backbone is not self.network else logmels
