"""Log-mel spectrograms, computed in batch on the model's device."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.io.errors import SslAudioError

# The default's mean and standard deviation are those of its decibels over orchestral and popular
# music. They are constants: statistics of each item would remove loudness.
FRONTENDS: dict[str, dict[str, Any]] = {
    "default": {"f_max": 8000.0, "mean": -41.6, "std": 23.0},
    "normalized": {"f_max": 8000.0, "mean": -35.0, "std": 23.0, "normalize": True},
    "released": {"f_max": 11025.0, "mean": 0.0, "std": 1.0},
}

BLOCK = 16  # bands computed together
MIN_PEAK = 1e-4  # waveforms below it are not amplified further
CACHED_SAMPLES = 1 << 17  # samples whose spectra take some 2 MB


class LogMel(nn.Module):
    """Power in decibels in Slaney mel bands, floored per item and normalised.

    1024-point Hann window, hop 512, window normalised to unit energy, triangles of equal height.
    Computed in float32 whatever the autocast.

    Args:
        f_max: upper edge of the highest band, Hz.
        mean, std: subtracted from, and divided into, the decibels.
        n_mels: bands.
        n_fft: window, samples.
        hop: step, samples.
        top_db: floor below each item's peak, dB.
        sample_rate: Hz.
        normalize: scale each item's waveform to a peak of 1.
    """

    window: Tensor
    bands: Tensor

    def __init__(
        self, f_max: float = 8000.0, mean: float = 0.0, std: float = 1.0, n_mels: int = 128,
        n_fft: int = 1024, hop: int = 512, top_db: float = 100.0, sample_rate: int = 16_000,
        normalize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.settings: dict[str, Any] = {
            "f_max": f_max, "mean": mean, "std": std, "n_mels": n_mels, "n_fft": n_fft,
            "hop": hop, "top_db": top_db, "sample_rate": sample_rate,
            **({"normalize": True} if normalize else {}),
        }  # fmt: skip
        self.normalize = normalize
        self.mean, self.std, self.top_db = mean, std, top_db
        self.n_mels, self.n_fft, self.hop, self.sample_rate = n_mels, n_fft, hop, sample_rate
        window = torch.hann_window(n_fft)
        self.register_buffer("window", window, persistent=False)
        bands = _mel_bands(n_fft, f_max, n_mels, sample_rate) / window.square().sum()
        self.register_buffer("bands", bands, persistent=False)
        self._blocks = _blocks(bands)

    @classmethod
    def named(cls, name: str) -> LogMel:
        """A front end by its name: "default", "normalized" or "released".

        Raises:
            SslAudioError: no such name.
        """
        if name not in FRONTENDS:
            raise SslAudioError(f"frontend={name} does not exist: {', '.join(FRONTENDS)}")
        return cls(**FRONTENDS[name])

    def frames(self, samples: int) -> int:
        """The number of frames of a waveform of so many samples."""
        return max(samples, self.n_fft // 2 + 1) // self.hop + 1

    def forward(self, waveform: Tensor) -> Tensor:
        """(batch, samples) in -1 to 1 to (batch, 1, n_mels, samples // hop + 1)."""
        with torch.autocast(waveform.device.type, enabled=False):
            waveform = waveform.float()
            short = self.n_fft // 2 + 1 - waveform.shape[-1]  # min length of reflection
            if short > 0:
                waveform = F.pad(waveform, (0, short))
            return self._normalised(self.mel_power(self.levelled(waveform)))

    def levelled(self, waveform: Tensor) -> Tensor:
        """(batch, samples), scaled to a peak of 1 if this front end normalises."""
        return waveform / _peak(waveform) if self.normalize else waveform

    def sliding(self, waveform: Tensor, segment: int, step: int) -> Tensor:
        """Log-mels of overlapping segments of one waveform, each frame computed once.

        Equal to those of the single segments up to rounding. Only the first and last frame of a
        segment, which depend on its reflected ends, are computed for each segment.

        Args:
            waveform: (segment + (n - 1) * step,) samples.
            segment, step: samples; both whole numbers of hops, the segment a window or longer.

        Returns:
            (n, 1, n_mels, segment // hop + 1).
        """
        with torch.autocast(waveform.device.type, enabled=False):
            frames = segment // self.hop + 1
            whole = self.mel_power(waveform[None])[0]
            mel = whole.unfold(0, frames, step // self.hop).transpose(1, 2).clone()
            parts = waveform.unfold(0, segment, step)
            mel[:, 0] = self.mel_power(parts[:, : self.n_fft])[:, 0]
            mel[:, -1] = self.mel_power(parts[:, -self.n_fft :])[:, -1]
            if self.normalize:
                mel /= _peak(parts)[..., None].square()
            return self._normalised(mel)

    def _normalised(self, mel: Tensor) -> Tensor:
        """(batch, frames, n_mels) power to (batch, 1, n_mels, frames)."""
        decibels = 10 * mel.clamp_min(1e-10).log10()
        floor = decibels.amax(dim=(1, 2), keepdim=True) - self.top_db
        normalised = (torch.maximum(decibels, floor) - self.mean) / self.std
        return normalised.transpose(1, 2)[:, None]

    def mel_power(self, waveform: Tensor) -> Tensor:
        """(batch, samples) to (batch, frames, n_mels)."""
        if waveform.device.type != "cpu":
            return self._mel_power_of(waveform)
        # a spectrum that stays in the processor's cache is computed twice as fast
        rows = max(1, CACHED_SAMPLES // waveform.shape[-1])
        return torch.cat([self._mel_power_of(part) for part in waveform.split(rows)])

    def _mel_power_of(self, waveform: Tensor) -> Tensor:
        half = self.n_fft // 2
        padded = F.pad(waveform, (half, half), mode="reflect")
        spectrum = torch.fft.rfft(padded.unfold(-1, self.n_fft, self.hop) * self.window)
        power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
        # a band spans few bins: products over those of neighbouring bands are an eighth of the work
        return torch.cat(
            [power[..., bins] @ self.bands[bands, bins].T for bands, bins in self._blocks], dim=-1
        )


def _peak(waveform: Tensor) -> Tensor:
    """(batch, samples) to (batch, 1)."""
    return waveform.abs().amax(dim=1, keepdim=True).clamp_min(MIN_PEAK)


def _blocks(bands: Tensor) -> list[tuple[slice, slice]]:
    """Slices of neighbouring bands, each with the slice of bins that they cover."""
    blocks = []
    for first in range(0, len(bands), BLOCK):
        used = bands[first : first + BLOCK].any(0).nonzero()
        bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
        blocks.append((slice(first, first + BLOCK), bins))
    return blocks


def _mel_bands(n_fft: int, f_max: float, n_mels: int, sample_rate: int) -> Tensor:
    """(n_mels, n_fft // 2 + 1) triangles on Slaney's mel scale."""
    from torchaudio.functional import melscale_fbanks

    with warnings.catch_warnings():
        # the released front end's upper bands lie above 8 kHz and are empty, as published
        warnings.simplefilter("ignore", UserWarning)
        return melscale_fbanks(
            n_fft // 2 + 1, 0.0, f_max, n_mels, sample_rate, norm=None, mel_scale="slaney"
        ).T.contiguous()
