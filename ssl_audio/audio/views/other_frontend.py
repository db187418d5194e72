"""Another log-mel front end for one of the views."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl_audio.audio.logmel import LogMel
from ssl_audio.audio.views.transform import Context, Stage
from ssl_audio.io.errors import SslAudioError


class OtherFrontEnd:
    """One view's log-mel has other bands, window or hop, resampled to the network's input.

    The log-mel is computed from the transformed waveform, resampled bilinearly in bands and frames,
    and takes the place of the default one: log-mel transforms before it in the list have no effect
    on this view. Mean and standard deviation are those of the encoder's front end.

    Args:
        n_mels: bands, 1 or more.
        n_fft: window, samples, 2 or more.
        hop: step, samples, 1 or more.
        f_max: upper edge of the highest band, Hz; the same as the encoder's keeps bands aligned.
        view: 0 is the anchor, 1 the positive.
    """

    stage: Stage = "logmel"

    def __init__(
        self, n_mels: int = 64, n_fft: int = 2048, hop: int = 512, f_max: float = 8000.0,
        view: int = 1,
    ) -> None:  # fmt: skip
        if min(n_mels, n_fft - 1, hop) < 1 or f_max <= 0 or view < 0:
            raise SslAudioError(
                f"n_mels={n_mels}, n_fft={n_fft}, hop={hop}, f_max={f_max:g}, view={view}: "
                "sizes must be positive, view 0 or more"
            )
        self.view = view
        self.logmel = LogMel(f_max, n_mels=n_mels, n_fft=n_fft, hop=hop)

    def __call__(self, x: Tensor, context: Context) -> Tensor:
        rows, place = context.rows, self.view - context.rows.first_view
        if not 0 <= place < rows.views:
            return x
        own = slice(place * rows.tracks, (place + 1) * rows.tracks)
        waveforms = context.frontend.levelled(context.waveforms[own])
        decibels = self.logmel.to(x.device)(waveforms)
        other = (decibels - context.frontend.mean) / context.frontend.std
        resized = F.interpolate(other, size=x.shape[1:], mode="bilinear", antialias=True)
        return torch.cat([x[: own.start], resized[:, 0], x[own.stop :]])
