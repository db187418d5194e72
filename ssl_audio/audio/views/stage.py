"""The stage between crops and network: waveform transforms, log-mel, log-mel transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.audio.views.transform import Context, Rows, Transform


class ViewStage:
    """Applies a list of transforms, those of waveforms before the log-mel and the others after it.

    Without gradient and in float32 whatever the autocast. Without transforms it is the log-mel.

    Args:
        transforms: in the order in which they are applied within their stage.
        seed: of the run, >= 0.
        decibels: per unit of the log-mel, dB.
        sample_rate: of waveforms, Hz.
    """

    def __init__(
        self, transforms: Sequence[Transform] = (), seed: int = 0, decibels: float = 1.0,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:  # fmt: skip
        self.transforms, self.seed = tuple(transforms), seed
        self.decibels, self.sample_rate = decibels, sample_rate

    @torch.no_grad()
    def __call__(
        self, waveforms: Tensor, rows: Rows, step: int, logmel: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """(rows, samples) to (rows, 1, n_mels, frames).

        Args:
            waveforms: crops of one length.
            rows: which rows of the batch they are.
            step: batch of the run, from 0.
            logmel: (rows, samples) to (rows, 1, n_mels, frames).
        """
        if not self.transforms:
            return logmel(waveforms)
        with torch.autocast(waveforms.device.type, enabled=False):
            changed = self._apply("waveform", waveforms.float(), rows, step)
            return self._apply("logmel", logmel(changed)[:, 0], rows, step)[:, None]

    def _apply(self, stage: str, x: Tensor, rows: Rows, step: int) -> Tensor:
        for place, transform in enumerate(self.transforms):
            if transform.stage == stage:
                context = Context(
                    rows, self.seed, step, place, x.device, self.sample_rate, self.decibels
                )
                x = transform(x, context)
        return x
