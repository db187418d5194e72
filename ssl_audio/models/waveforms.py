"""Conversion of a user's arrays and tensors to the waveforms that an encoder takes."""

import numpy as np
from torch import Tensor

from ssl_audio.audio import decode
from ssl_audio.audio.sndfile import mixed_down

_PCM = {"u1": (128.0, 128.0), "i1": (0.0, 128.0), "i2": (0.0, 32768.0), "i4": (0.0, 2.0**31)}


def mono_waveform(waveform: np.ndarray | Tensor, sample_rate: int, target_rate: int) -> np.ndarray:
    """A mono float32 waveform at another sample rate.

    The result for the samples of a file equals what `embed_file` reads from it: channels are
    averaged, then resampled by the same filter.

    Args:
        waveform: (samples,), (channels, samples) or (samples, channels), of which the shorter axis
            is taken for the channels; floating point in -1 to 1, or 8, 16 or 32 bit integer PCM.
        sample_rate: of `waveform`, Hz.
        target_rate: of the result, Hz.

    Returns:
        (samples,) float32.

    Raises:
        ValueError: an empty waveform, another shape or type, NaN or infinite samples.
    """
    samples = waveform.detach().cpu().numpy() if isinstance(waveform, Tensor) else waveform
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or not samples.size:
        raise ValueError(
            "a waveform is (samples,), (channels, samples) or (samples, channels), "
            f"not {samples.shape}"
        )
    if sample_rate < 1:
        raise ValueError(f"sample_rate={sample_rate}: Hz, above 0")
    samples = _floats(samples)
    if samples.ndim == 2:
        by_channel = samples if samples.shape[0] <= samples.shape[1] else samples.T
        samples = mixed_down(by_channel.T)
    if not np.isfinite(samples).all():
        raise ValueError("the waveform has NaN or infinite samples")
    if sample_rate == target_rate:
        return np.ascontiguousarray(samples)
    return np.concatenate(list(decode.resampled([samples], sample_rate, target_rate)))


def _floats(samples: np.ndarray) -> np.ndarray:
    kind = samples.dtype.kind + str(samples.dtype.itemsize)
    if samples.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return samples.astype(np.float32)
    if kind not in _PCM:
        raise ValueError(f"samples are floats or 8, 16 or 32 bit integers, not {samples.dtype}")
    middle, scale = _PCM[kind]
    return ((samples.astype(np.float64) - middle) / scale).astype(np.float32)
