"""The stage between crops and network: waveform transforms, log-mel, log-mel transforms."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ssl_audio.audio.logmel import LogMel
from ssl_audio.audio.views.transform import Context, Rows, Transform


class ViewStage:
    """Applies a list of transforms, those of waveforms before the log-mel and the others after it.

    Without gradient and in float32 whatever the autocast. Without transforms it is the log-mel.

    Args:
        transforms: in the order in which they are applied within their stage.
        seed: of the run, >= 0.
        frontend: that of the encoder, for transforms that need its scale; default: "default".
    """

    def __init__(
        self, transforms: Sequence[Transform] = (), seed: int = 0, frontend: LogMel | None = None
    ) -> None:
        self.transforms, self.seed = tuple(transforms), seed
        self.frontend = frontend or LogMel.named("default")

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
            crops = waveforms.float()
            changed = self._apply("waveform", crops, rows, step, crops)
            return self._apply("logmel", logmel(changed)[:, 0], rows, step, changed)[:, None]

    def _apply(self, stage: str, x: Tensor, rows: Rows, step: int, waveforms: Tensor) -> Tensor:
        for place, transform in enumerate(self.transforms):
            if transform.stage == stage:
                x = transform(x, Context(rows, self.seed, step, place, waveforms, self.frontend))
        return x
