"""The network from log-mel to embedding: the paper's ResNet, or any timm model."""

import copy

from torch import nn

from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.timm_network import timm_network

RESNET = "resnet"


def create_backbone(
    name: str = RESNET, embedding_size: int = 1024, mels: int = 128, frames: int = 126,
    pool: str = "default",
) -> nn.Module:  # fmt: skip
    """A network from (batch, 1, mels, frames) to (batch, embedding_size).

    "resnet" is the paper's (section 2.2), 2,800,392 parameters with 1024 outputs: bottlenecks
    (3, 4, 6, 3) of width 16, a stem of three convolutions, average pooling before every stride and
    an attention pooler whose positions are resampled for inputs of another length.

    Args:
        name: "resnet", or the name of a timm model.
        embedding_size: outputs.
        mels, frames: of the log-mels of a segment, the size that positions are made for.
        pool: "default", or "mean" of the patches of a timm model.

    Raises:
        SslAudioError: no such model, or one that cannot take log-mels of this size.
    """
    if name != RESNET:
        return timm_network(name, embedding_size, mels, frames, pool)
    if pool != "default":
        raise SslAudioError(
            f"encoder.pool={pool}: resnet has no patches; set encoder.pool=default, or "
            "encoder.backbone=vit_tiny_patch16_224"
        )
    return _resnet(embedding_size, mels, frames)


def _resnet(embedding_size: int, mels: int, frames: int) -> nn.Module:
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    stages = ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2))  # blocks, channels, stride
    config = ByoModelCfg(
        blocks=tuple(ByoBlockCfg(type="bottle", d=d, c=c, s=s, br=0.25) for d, c, s in stages),
        stem_chs=(8, 8, 16), stem_type="", stem_pool="avg2", downsample="avg", aa_layer="avg",
        head_type="attn_abs",
    )  # fmt: skip
    network = ByobNet(config, num_classes=embedding_size, in_chans=1, img_size=(mels, frames))
    for layer in network.modules():
        if isinstance(layer, nn.AvgPool2d):
            layer.ceil_mode = False  # as published: an odd last frame is dropped, not averaged
    return network


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """A copy for inference whose batch norms are part of the convolutions before them.

    Equal to `network.eval()` up to rounding; layers that are not a convolution with its batch norm
    stay as they are.
    """
    from timm.layers import ConvNormAct
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    folded = copy.deepcopy(network).eval()
    for layer in folded.modules():
        if isinstance(layer, ConvNormAct) and isinstance(layer.bn, nn.BatchNorm2d):
            layer.conv = fuse_conv_bn_eval(layer.conv, layer.bn)
            layer.bn = layer.bn.act  # the activation lives inside timm's batch norm
    return folded
