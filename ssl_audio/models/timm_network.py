"""timm's networks for log-mels, those that are made for images of one size included."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError, first_line

USUAL_STRIDE = 32  # of networks that do not state the size of their patches


@dataclass(frozen=True)
class _Plan:
    """How to make a network: further arguments, and the multiples that its inputs are padded to."""

    arguments: dict[str, Any] = field(default_factory=dict)
    unit: tuple[int, int] | None = None  # bands, frames; None: it takes inputs of any size
    any_length: bool = True


def timm_network(
    name: str, embedding_size: int, mels: int, frames: int, pool: str = "default"
) -> nn.Module:
    """A timm model from (batch, 1, mels, frames) to (batch, embedding_size), with new weights.

    Transformers and mixers of images of a fixed size are made for log-mels of `frames`, padded to
    whole patches (`PatchedNetwork`).

    Raises:
        SslAudioError: no such model, or one that cannot take log-mels of this size or pool so.
    """
    import timm

    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f" Close: {', '.join(close)}." if close else ""
        raise SslAudioError(f"encoder.backbone={name}: neither resnet nor a timm model.{hint}")
    always = {} if pool == "default" else {"global_pool": "avg"}
    plan = _plan(name, embedding_size, mels, frames, always)
    network = _make(name, embedding_size, plan.arguments)
    _start_head(network)
    if plan.unit is None:
        return network
    return PatchedNetwork(network, name, plan.unit, None if plan.any_length else frames)


def _start_head(network: nn.Module) -> None:
    """Draw the last layer where timm starts it at zero: all embeddings would be equal."""
    head: Any = network
    head = head.get_classifier() if hasattr(network, "get_classifier") else None
    if isinstance(head, nn.Linear) and not head.weight.any():
        nn.init.trunc_normal_(head.weight, std=0.02)


class PatchedNetwork(nn.Module):
    """A network whose inputs are padded to whole patches, above and to the right, with zeros.

    Zero is the mean level of music in the default log-mel.

    Args:
        network: (batch, 1, bands, frames) to (batch, outputs), for multiples of `unit`.
        name: for errors.
        unit: of bands and frames.
        frames: the only length that it takes; None: any.
    """

    def __init__(
        self, network: nn.Module, name: str, unit: tuple[int, int], frames: int | None
    ) -> None:
        super().__init__()
        self.network = network
        self.name, self.unit, self.frames = name, unit, frames

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, mels, frames) to (batch, outputs).

        Raises:
            SslAudioError: log-mels of another length than the network is made for.
        """
        if self.frames is not None and x.shape[3] != self.frames:
            raise SslAudioError(
                f"{self.name} takes log-mels of {self.frames} frames, not {x.shape[3]}: embed by "
                "segments (Encoder.embed), or use a backbone of any length, such as resnet"
            )
        return self.network(self.padded(x))

    def padded(self, x: Tensor) -> Tensor:
        """(batch, 1, mels, frames) with zeros up to multiples of `unit`."""
        bands, frames = (-n % whole for n, whole in zip(x.shape[2:], self.unit, strict=True))
        return F.pad(x, (0, frames, 0, bands))


def _make(name: str, outputs: int, arguments: dict[str, Any]) -> nn.Module:
    import timm

    return timm.create_model(name, pretrained=False, in_chans=1, num_classes=outputs, **arguments)


def _plan(name: str, outputs: int, mels: int, frames: int, always: dict[str, Any]) -> _Plan:
    """The first plan by which the network takes log-mels, tried on the meta device.

    Raises:
        SslAudioError: there is none.
    """
    import timm

    known = timm.get_pretrained_cfg(name)
    if known is not None and not known.fixed_input_size:
        return _Plan(always)
    error: Exception | None = None
    for found in _plans(name, outputs, mels, frames):
        plan = replace(found, arguments={**found.arguments, **always})
        try:
            _try(name, outputs, plan, mels, frames)
            return plan
        except Exception as refusal:  # of many types, depending on the model
            error = refusal
    raise SslAudioError(
        f"encoder.backbone={name}: it cannot take log-mels of {mels} bands and {frames} frames"
        f"{f' ({first_line(error, 160)})' if error else ''}: choose another backbone"
    ) from error


def _plans(name: str, outputs: int, mels: int, frames: int) -> Iterator[_Plan]:
    yield _Plan()
    usual = (USUAL_STRIDE, USUAL_STRIDE)
    for unit in dict.fromkeys((_patch_size(name, outputs) or usual, usual)):
        size = tuple(n + -n % whole for n, whole in zip((mels, frames), unit, strict=True))
        for flag in ({"dynamic_img_size": True}, {"strict_img_size": False}):
            yield _Plan({"img_size": size, **flag}, unit)
        yield _Plan({"img_size": size}, unit, any_length=False)


def _patch_size(name: str, outputs: int) -> tuple[int, int] | None:
    with torch.device("meta"):
        embed = getattr(_make(name, outputs, {}), "patch_embed", None)
    size = getattr(embed, "patch_size", None)
    return (size, size) if isinstance(size, int) else size


def _try(name: str, outputs: int, plan: _Plan, mels: int, frames: int) -> None:
    """Run the network of a plan on meta tensors, which have shapes but no values."""
    lengths = (frames, max(USUAL_STRIDE, frames // 2), 2 * frames + 1)
    with torch.device("meta"), torch.no_grad():
        network = _make(name, outputs, plan.arguments).eval()
        if plan.unit is not None:
            network = PatchedNetwork(network, name, plan.unit, None)
        for length in lengths if plan.any_length else lengths[:1]:
            network(torch.zeros(2, 1, mels, length))
