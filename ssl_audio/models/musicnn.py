"""musicnn (Pons & Serra 2019): a network for music tagging, as a frozen encoder.

Its weights are converted by `tools/convert_musicnn.py`. Nothing here trains it.
"""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import librosa
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.audio.logmel import LogMel
from ssl_audio.io.compiled_cache import allow_librosa
from ssl_audio.io.errors import CheckpointError
from ssl_audio.io.model_folder import CONFIG, read_model_folder
from ssl_audio.models.shipped import shipped_folder

KIND = "musicnn"
PATCH = 187  # frames of 16 ms that the network was trained on, 3 s
BATCH = 8  # patches computed at a time, each of which takes some 10 MB
MELS, HOP, WINDOW = 96, 256, 512
PLACES = 4  # bands of a convolution that are computed at a time
TIMBRAL = ((7, 38), (7, 67))  # frames x bands of the 204 filters each
TEMPORAL = (128, 64, 32)  # frames of the 51 filters each, of one band
FRONT, MIDDLE = 2 * 204 + 3 * 51, 64  # channels


class Outputs(NamedTuple):
    """Outputs of the network for each patch, named as in the musicnn package."""

    taggram: Tensor  # (batch, tags) probabilities
    penultimate: Tensor  # (batch, 200)
    mean_pool: Tensor  # (batch, 753) mean over time of all layers before
    max_pool: Tensor  # (batch, 753)

    @property
    def pooled(self) -> Tensor:
        """(batch, 1506): mean and maximum over time of all layers."""
        return torch.cat([self.mean_pool, self.max_pool], dim=1)


class MusiCNN(nn.Module):
    """Convolutions of timbral (tall) and temporal (wide) shape, pooled over time.

    Attributes:
        tags: names of the columns of the taggram.
    """

    slaney: Tensor

    def __init__(self, tags: Iterable[str], units: int = 200) -> None:
        super().__init__()
        self.tags = tuple(tags)
        self.mel = LogMel(n_mels=MELS, n_fft=WINDOW, hop=HOP, f_max=SAMPLE_RATE / 2)
        allow_librosa()
        edges = librosa.mel_frequencies(MELS + 2, fmin=0.0, fmax=SAMPLE_RATE / 2)
        # triangles of unit area on the window as it is, as librosa has them
        area = self.mel.window.square().sum() * torch.from_numpy(2 / (edges[2:] - edges[:-2]))
        self.register_buffer("slaney", area.float(), persistent=False)
        self.input_norm = _Affine(1)
        self.timbral = nn.ModuleList(_Front(204, size) for size in TIMBRAL)
        self.temporal = nn.ModuleList(_Front(51, (frames, 1)) for frames in TEMPORAL)
        self.middle = nn.ModuleList(_Middle(n) for n in (FRONT, MIDDLE, MIDDLE))
        pooled = 2 * (FRONT + 3 * MIDDLE)
        self.pool_norm, self.dense = _Affine(pooled), nn.Linear(pooled, units)
        self.dense_norm, self.tagger = _Affine(units), nn.Linear(units, len(self.tags))
        self.requires_grad_(False)

    def log_mel(self, waveform: Tensor) -> Tensor:
        """(batch, samples) at 16 kHz to log10(10000 power + 1), (batch, frames, 96).

        In float32; the package rounds the power to float16, which is infinite for loud music.
        """
        missing = (PATCH - 1) * HOP - waveform.shape[-1]  # a short waveform ends in silence
        padded = F.pad(waveform, (0, missing)) if missing > 0 else waveform
        return (10_000 * self.mel.mel_power(padded) * self.slaney + 1).log10()

    def forward(self, patches: Tensor) -> Outputs:
        """(batch, frames, 96) log-mels to the outputs of each patch, of any number of frames."""
        x = self.input_norm(patches[..., None])[..., 0][:, None]
        front = torch.cat([block(x) for block in (*self.timbral, *self.temporal)], dim=1)
        first = self.middle[0](front)
        second = self.middle[1](first) + first
        third = self.middle[2](second) + second
        layers = torch.cat([front, first, second, third], dim=1)
        most, mean = layers.amax(2), layers.mean(2)
        pooled = self.pool_norm(torch.stack([most, mean], dim=2).flatten(1))
        penultimate = self.dense_norm(self.dense(pooled).relu())
        return Outputs(self.tagger(penultimate).sigmoid(), penultimate, mean, most)

    @torch.inference_mode()
    def embed(self, waveform: Tensor, hop: float | None = None) -> Outputs:
        """The outputs for each patch of a waveform.

        Patches have 187 frames, as in the package, and frames after the last whole one are left
        out. A waveform of less than two patches is a single patch.

        Args:
            waveform: (samples,) at 16 kHz.
            hop: seconds between patches; default is their length.
        """
        frames = self.log_mel(waveform[None])[0]
        length = PATCH if len(frames) >= 2 * PATCH else len(frames)
        step = length if hop is None else max(1, round(hop * SAMPLE_RATE / HOP))
        patches = frames.unfold(0, length, step).transpose(1, 2)
        return Outputs(*map(torch.cat, zip(*map(self, patches.split(BATCH)), strict=True)))


class _Affine(nn.Module):
    """A batch norm of evaluation mode: scale and shift of the last dimension."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias, x, self.weight)


class _Front(nn.Module):
    """Convolution, ReLU, norm, maximum over the bands: (B, 1, T, bands) to (B, channels, T)."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, channels, size), _Affine(channels)
        frames = size[0] - 1
        self._padding = (0, 0, frames // 2, frames - frames // 2)  # TensorFlow's "same"

    def forward(self, x: Tensor) -> Tensor:
        # the order of ReLU and maximum does not matter; a norm of negative scale takes the minimum,
        # which is the maximum of the negated filter
        sign = torch.where(self.norm.weight < 0, -1.0, 1.0)
        largest = self._largest(F.pad(x, self._padding)[:, 0], sign[:, None, None])
        assert self.conv.bias is not None
        extreme = (largest * sign + self.conv.bias).relu()
        return self.norm(extreme).transpose(1, 2)

    def _largest(self, x: Tensor, sign: Tensor) -> Tensor:
        """Maximum over the bands of the signed convolution, (B, T, bands) to (B, T, channels).

        As matrix products that give a few bands at a time, 3 times as fast in bfloat16 as the
        convolution, whose output for all bands is large and whose input has a single channel.
        """
        weight = self.conv.weight[:, 0] * sign
        frames, width = weight.shape[1:]
        places = x.shape[2] - width + 1
        found = []
        for first in range(0, places, PLACES):
            count = min(PLACES, places - first)
            shifted = [F.pad(weight, (k, count - 1 - k)) for k in range(count)]
            part = x[:, :, first : first + count + width - 1].unfold(1, frames, 1)
            columns = part.transpose(2, 3).flatten(2)  # (B, T, frames * bands)
            product = F.linear(columns, torch.cat(shifted).flatten(1)).unflatten(2, (count, -1))
            found.append(functools.reduce(torch.maximum, product.unbind(2)))
        return functools.reduce(torch.maximum, found)


class _Middle(nn.Module):
    """Convolution over time, ReLU, norm: (B, channels, T) to (B, 64, T)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv1d(channels, MIDDLE, 7, padding=3), _Affine(MIDDLE)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x).relu().transpose(1, 2)).transpose(1, 2)


def load_musicnn(folder: str | Path = "musicnn") -> MusiCNN:
    """Read a converted folder, or the one that the package ships.

    Raises:
        CheckpointError: no such folder, a damaged one, or one of another kind.
    """
    path = shipped_folder(str(folder)) or Path(folder)
    read = read_model_folder(path, KIND)
    state = {name: torch.from_numpy(array) for name, array in read.arrays.items()}
    try:
        network = MusiCNN(read.config["tags"])
        network.load_state_dict(state)
    except (KeyError, TypeError, RuntimeError) as error:
        raise CheckpointError(f"{path / CONFIG} is damaged: {error}") from error
    return network.eval()
