"""Masks of the log-mel: spans of time, spans of frequency, patches."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_audio.audio.views.transform import Context, Stage, probability
from ssl_audio.io.errors import SslAudioError

FILLS = ("mean", "floor")


class _Mask:
    """Fills masked places with the view's mean or its lowest value."""

    stage: Stage = "logmel"

    def __init__(self, fill: str, p: float) -> None:
        if fill not in FILLS:
            raise SslAudioError(f"fill={fill}: {' or '.join(FILLS)}")
        self.fill, self.p = fill, probability(p)

    def _filled(self, x: Tensor, masked: Tensor, context: Context) -> Tensor:
        value = x.mean((1, 2), keepdim=True) if self.fill == "mean" else x.amin((1, 2), True)
        return torch.where(masked & context.chosen(self.p)[:, None, None], value, x)


class _SpanMask(_Mask):
    def __init__(
        self, width: float = 0.2, number: int = 1, fill: str = "mean", p: float = 1.0
    ) -> None:
        super().__init__(fill, p)
        if not 0 < width <= 1:
            raise SslAudioError(f"width={width}: a share, above 0 and at most 1")
        if number < 1:
            raise SslAudioError(f"number={number}: 1 or more")
        self.width, self.number = width, number

    def _spans(self, length: int, context: Context) -> Tensor:
        """(rows, length) bool: True inside one of the spans."""
        longest = int(self.width * length)
        widths = context.uniform(0, longest + 1, self.number).floor()
        starts = (context.uniform(size=self.number) * (length - widths + 1)).floor()
        place = torch.arange(length, device=widths.device)
        inside = (place >= starts[..., None]) & (place < (starts + widths)[..., None])
        return inside.any(1)


class TimeMask(_SpanMask):
    """Masked spans of time (SpecAugment, Park et al. 2019).

    Args:
        width: max width of a span, as a share of the frames, in (0, 1]; widths are uniform from 0.
        number: spans per view, 1 or more; they may overlap.
        fill: mean or floor (lowest value) of the view.
        p: probability of a change, per view.
    """

    def __call__(self, x: Tensor, context: Context) -> Tensor:
        return self._filled(x, self._spans(x.shape[2], context)[:, None, :], context)


class FrequencyMask(_SpanMask):
    """Masked spans of frequency (SpecAugment, Park et al. 2019).

    Args:
        width: max width of a span, as a share of the bands, in (0, 1]; widths are uniform from 0.
        number: spans per view, 1 or more; they may overlap.
        fill: mean or floor (lowest value) of the view.
        p: probability of a change, per view.
    """

    def __call__(self, x: Tensor, context: Context) -> Tensor:
        return self._filled(x, self._spans(x.shape[1], context)[:, :, None], context)


class PatchMask(_Mask):
    """A share of the patches of a grid is masked (Myna, Yonay et al. 2025, has nothing else).

    A transformer drops these patches; a convolutional network sees the filling. Patches at the
    upper and right edge may be cut.

    Args:
        share: of masked patches, in (0, 1); the paper has 0.9 for a transformer.
        patch: [bands, frames] of a patch.
        fill: mean or floor (lowest value) of the view.
        p: probability of a change, per view.
    """

    def __init__(
        self, share: float = 0.5, patch: Sequence[int] = (16, 16), fill: str = "mean",
        p: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__(fill, p)
        if not 0 < share < 1:
            raise SslAudioError(f"share={share}: above 0 and below 1")
        if len(patch) != 2 or min(patch) < 1:
            raise SslAudioError(f"patch={patch}: [BANDS, FRAMES], each 1 or more")
        self.share, self.patch = share, tuple(patch)

    def __call__(self, x: Tensor, context: Context) -> Tensor:
        rows, columns = (-(-n // size) for n, size in zip(x.shape[1:], self.patch, strict=True))
        scores = context.uniform(size=rows * columns)
        ranks = scores.argsort(dim=1, stable=True).argsort(dim=1)
        masked = (ranks < round(self.share * rows * columns)).unflatten(1, (rows, columns))
        grid = masked.repeat_interleave(self.patch[0], 1).repeat_interleave(self.patch[1], 2)
        return self._filled(x, grid[:, : x.shape[1], : x.shape[2]], context)
