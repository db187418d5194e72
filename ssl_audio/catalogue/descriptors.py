"""Forty-two descriptors of a track by signal processing: rhythm, level, timbre and harmony.

Each has a fixed range, so that new tracks need no fitted scaler. All except `loudness` are
independent of a recording's level and of its offset from zero.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter1d

from ssl_audio.catalogue.harmony import harmony
from ssl_audio.catalogue.rhythm import MAX_TEMPO, MIN_TEMPO, rhythm
from ssl_audio.catalogue.spectrum import (
    CONTRAST_EDGES,
    FRAME_RATE,
    N_FFT,
    TINY,
    Frames,
    deviation,
    frames_of,
    mean,
)

_SILENT_PEAK = 1e-5  # -100 dB of full scale, below the smallest step of 16 bits
_SILENT_LOUDNESS = -100.0  # dB
_SILENT_BELOW = 60.0  # dB below the loudest frame


class Descriptor(NamedTuple):
    """One descriptor, with the natural values that become 0 and 1; values outside are clipped."""

    name: str
    unit: str  # "1" for a ratio
    low: float
    high: float
    meaning: str


_CONTRASTS = [
    Descriptor(f"contrast_{low:.0f}_{high:.0f}_hz", "dB", 0.0, 40.0 if high <= 500 else 60.0,
               "peaks above valleys of the spectrum in the band")
    for low, high in pairwise(CONTRAST_EDGES)
]  # fmt: skip
# dB; higher coefficients stand for finer detail of the spectral envelope and are smaller
_MFCC_RANGES = ((-50.0, 250.0), (-120.0, 100.0), (-80.0, 80.0), (-80.0, 60.0),
                *4 * ((-60.0, 50.0),))  # fmt: skip
_MFCCS = [
    Descriptor(f"mfcc_{number}", "dB", low, high, "shape of the spectrum's envelope, mean")
    for number, (low, high) in enumerate(_MFCC_RANGES, start=1)
]
DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor("tempo", "BPM", MIN_TEMPO, MAX_TEMPO, "strongest pulse; 0 without any"),
    Descriptor("beat_strength", "1", 0.0, 1.0, "autocorrelation of the onsets at the tempo"),
    Descriptor("beat_regularity", "1", 0.5, 1.0, "similarity of the pulse over the track"),
    Descriptor("onset_rate", "1/s", 0.0, 10.0, "onsets a second"),
    Descriptor("loudness", "dB", -60.0, 0.0, "root mean square, of full scale"),
    Descriptor("crest_factor", "dB", 0.0, 30.0, "peak above the root mean square"),
    Descriptor("loudness_range", "dB", 0.0, 40.0, "1 s levels, 10th to 95th percentile"),
    Descriptor("loudness_deviation", "dB", 0.0, 15.0, "deviation of 128 ms levels"),
    Descriptor("dynamic_complexity", "dB", 0.0, 10.0, "distance of 0.2 s levels from the whole's"),
    Descriptor("silence_ratio", "1", 0.0, 1.0, "share of frames 60 dB below the loudest"),
    Descriptor("zero_crossing_rate", "1", 0.0, 0.3, "sign changes per sample"),
    Descriptor("centroid_mean", "Hz", 0.0, 4000.0, "brightness"),
    Descriptor("centroid_deviation", "Hz", 0.0, 1500.0, "change of brightness"),
    Descriptor("bandwidth_mean", "Hz", 0.0, 3000.0, "spread about the centroid"),
    Descriptor("rolloff_mean", "Hz", 0.0, 8000.0, "frequency below which lie 85 % of magnitude"),
    Descriptor("flatness_mean", "dB", -80.0, 0.0, "noise (0 dB) rather than tones"),
    Descriptor("flux_mean", "dB", 0.0, 5.0, "rise of the mel spectrum from frame to frame"),
    Descriptor("low_energy", "1", 0.0, 1.0, "share of the energy below 250 Hz"),
    Descriptor("high_energy", "1", 0.0, 0.6, "share of the energy above 2 kHz"),
    *_CONTRASTS,
    Descriptor("chroma_entropy", "bit", 2.5, float(np.log2(12)), "evenness of the twelve notes"),
    Descriptor("chroma_deviation", "1", 0.0, 0.5, "change of the notes over the track"),
    Descriptor("major_strength", "1", 0.0, 1.0, "correlation with the best major key"),
    Descriptor("minor_strength", "1", 0.0, 1.0, "correlation with the best minor key"),
    Descriptor("key_clarity", "1", 0.0, 0.5, "lead of the best of 24 keys over the second"),
    Descriptor("tonnetz_fifths", "1", 0.0, 0.7, "concentration of notes on the circle of fifths"),
    Descriptor("tonnetz_minor_thirds", "1", 0.0, 1.0, "the same on that of minor thirds"),
    Descriptor("tonnetz_major_thirds", "1", 0.0, 0.5, "the same on that of major thirds"),
    *_MFCCS,
)


def descriptors_of_blocks(blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Describe a track. May be called from several threads at once.

    A track shorter than one frame (128 ms) is padded with zeros. A track below -100 dB of full
    scale is silent: its loudness is -100 dB, its silence ratio 1, and all other descriptors are 0.
    Means and deviations of the spectrum leave out silent frames.

    Args:
        blocks: float32 (samples,) each, not empty, mono at 16 kHz, nominally within [-1, 1].

    Returns:
        float32 (42,), in the order and the natural units of `DESCRIPTORS`; finite, not clipped.

    Raises:
        ValueError: a sample is not finite.
    """
    samples, levelled, loudness, crest = _levelled(blocks)
    frames = frames_of(levelled(), samples)
    level = 10 * np.log10(np.maximum(frames.power, TINY))
    sounding = (level > level.max() - _SILENT_BELOW) & (frames.power > TINY)
    crossings = _sign_changes(levelled()) / samples
    found = {"loudness": loudness, "crest_factor": crest, "zero_crossing_rate": crossings}
    found |= _dynamics(frames.power, level, sounding)
    found |= _shape(frames, sounding)
    found |= harmony(frames.chroma, sounding)
    mel = _decibels(frames.mel.T)
    found |= _envelope(mel, sounding)
    found |= rhythm(mel)
    return np.array([found[each.name] for each in DESCRIPTORS], np.float32)


def normalised(values: np.ndarray) -> np.ndarray:
    """Map descriptors linearly to 0 to 1 by their fixed ranges, and clip.

    Args:
        values: (..., 42), as `descriptors_of_blocks` gives them.

    Returns:
        float32 (..., 42), within [0, 1].

    Raises:
        ValueError: the last axis is not 42 long.
    """
    values = np.asarray(values)
    if values.shape[-1:] != (len(DESCRIPTORS),):
        raise ValueError(f"expected (..., {len(DESCRIPTORS)}), got {values.shape}")
    low = np.array([each.low for each in DESCRIPTORS])
    high = np.array([each.high for each in DESCRIPTORS])
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def _levelled(
    given: Sequence[np.ndarray],
) -> tuple[int, Callable[[], Iterator[np.ndarray]], float, float]:
    """A waveform centred and scaled to a peak of 1: its samples, and their blocks, computed each
    time; loudness before that and crest factor, dB."""
    count = sum(map(len, given))
    offset = sum(float(block.sum(dtype=np.float64)) for block in given) / count
    if not np.isfinite(offset):
        raise ValueError("the waveform holds values that are not finite")
    centre = np.float32(offset)
    peak = max(float(np.abs(block - centre).max()) for block in given)
    if peak < _SILENT_PEAK:
        silence = np.zeros(max(count, N_FFT), np.float32)
        return len(silence), lambda: iter([silence]), _SILENT_LOUDNESS, 0.0
    scale, missing = np.float32(peak), max(0, N_FFT - count)

    def levelled() -> Iterator[np.ndarray]:
        for block in given:
            yield (block - centre) / scale
        if missing:
            yield np.zeros(missing, np.float32)

    energy = sum(float(np.square(block).sum(dtype=np.float64)) for block in levelled())
    crest = -10 * float(np.log10(energy / count))
    loudness = max(20 * float(np.log10(peak)) - crest, _SILENT_LOUDNESS)
    return count + missing, levelled, loudness, crest


def _sign_changes(blocks: Iterable[np.ndarray]) -> int:
    changes, last = 0, None
    for block in blocks:
        negative = np.signbit(block)
        changes += int(np.count_nonzero(negative[1:] != negative[:-1]))
        changes += last is not None and bool(negative[0]) != last
        last = bool(negative[-1])
    return changes


def _decibels(power: np.ndarray) -> np.ndarray:
    """Power in dB, at most 80 dB below the highest of all."""
    import librosa

    return librosa.power_to_db(power)


def _dynamics(power: np.ndarray, level: np.ndarray, sounding: np.ndarray) -> dict[str, float]:
    names = ("loudness_range", "loudness_deviation", "dynamic_complexity")
    if not sounding.any():
        return dict.fromkeys(names, 0.0) | {"silence_ratio": 1.0}
    seconds = _smoothed_level(power, 1.0)[sounding]
    low, high = np.percentile(seconds, (10, 95))
    overall = 10 * np.log10(power.mean(dtype=np.float64))
    complexity = np.abs(_smoothed_level(power, 0.2)[sounding] - overall).mean()
    values = (float(high - low), float(deviation(level, sounding)), float(complexity))
    return dict(zip(names, values, strict=True)) | {"silence_ratio": 1 - float(sounding.mean())}


def _smoothed_level(power: np.ndarray, seconds: float) -> np.ndarray:
    """Level of each frame, dB, smoothed over some seconds."""
    smooth = uniform_filter1d(power.astype(np.float64), round(seconds * FRAME_RATE), mode="nearest")
    return 10 * np.log10(np.maximum(smooth, TINY))


def _shape(frames: Frames, sounding: np.ndarray) -> dict[str, float]:
    """Descriptors of the spectrum's shape."""
    total = max(float(frames.power.sum()), TINY)
    found = {
        "centroid_mean": float(mean(frames.centroid, sounding)),
        "centroid_deviation": float(deviation(frames.centroid, sounding)),
        "bandwidth_mean": float(mean(frames.bandwidth, sounding)),
        "rolloff_mean": float(mean(frames.rolloff, sounding)),
        "flatness_mean": float(mean(frames.flatness, sounding)),
        "low_energy": float(frames.low.sum()) / total,
        "high_energy": float(frames.high.sum()) / total,
    }
    contrast = mean(_decibels(frames.peaks) - _decibels(frames.valleys), sounding)
    names = [each.name for each in _CONTRASTS]
    return found | dict(zip(names, map(float, contrast), strict=True))


def _envelope(mel: np.ndarray, sounding: np.ndarray) -> dict[str, float]:
    """MFCCs of (128, frames) dB without the first, which is the level."""
    import librosa

    coefficients = librosa.feature.mfcc(S=mel, n_mfcc=1 + len(_MFCCS))[1:]
    means = mean(coefficients.T, sounding)
    return {f"mfcc_{number}": float(value) for number, value in enumerate(means, start=1)}
