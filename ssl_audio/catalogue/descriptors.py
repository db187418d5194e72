"""Forty-two hand-made descriptors of a track: rhythm, level, timbre and harmony, by librosa.

Each has a fixed range, so that a new track needs no refitting. All of them but `loudness` are
independent of a recording's level, and of its offset from zero.

One short-time spectrum serves them all. It is made in blocks of frames, which stay in the cache and
bound the memory that a long track takes, and librosa's filter banks are made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.fft import irfft, rfft
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from ssl_audio.audio.files import SAMPLE_RATE

N_FFT = 2048  # samples; 128 ms
HOP = 512  # samples; 32 ms: with twice that, tempi near 120 BPM lie 15 BPM apart
FRAME_RATE = SAMPLE_RATE / HOP  # Hz

_BLOCK = 128  # frames of spectrum at a time: half a MiB
_SILENT_PEAK = 1e-5  # -100 dB of full scale, below the smallest step of 16 bits
_SILENT_LOUDNESS = -100.0  # dB
_SOUNDING = 60.0  # dB below the loudest frame; quieter frames count as silence
_TINY = 1e-10  # librosa's floor of power
_HIGHEST = 7000.0  # Hz; above it a track that was resampled falls off, and others do not
_CONTRAST_EDGES = (0.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, _HIGHEST)  # Hz
_CONTRAST_TAIL = 0.02  # share of a band's bins that makes its peaks, and its valleys
_ROLLOFF = 0.85
_LOW_BELOW, _HIGH_ABOVE = 250.0, 2000.0  # Hz
_MFCCS = 8
_PULSE_WINDOW, _PULSE_HOP = 256, 32  # frames; 8.2 s and 1 s
_SLOWEST, _FASTEST, _USUAL = 40.0, 220.0, 120.0  # BPM
_LAG_STEPS = 16  # per frame, between which the autocorrelation is interpolated

# How well each note fits a key on C, by listeners (Krumhansl and Kessler, 1982).
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


@dataclass(frozen=True)
class Descriptor:
    """One descriptor.

    Attributes:
        name: unique.
        unit: of its natural value; "1" for a ratio.
        low: the natural value that becomes 0, as do all below it.
        high: the natural value that becomes 1, as do all above it.
        meaning: what it says of a track.
    """

    name: str
    unit: str
    low: float
    high: float
    meaning: str


def _contrasts() -> tuple[Descriptor, ...]:
    meaning = "peaks above valleys of the spectrum in the band"
    return tuple(
        Descriptor(
            f"contrast_{low:.0f}_{high:.0f}_hz", "dB", 0.0, 40.0 if high <= 500 else 60.0, meaning
        )
        for low, high in pairwise(_CONTRAST_EDGES)
    )


# dB; the finer the ripples of the spectrum's envelope that a coefficient stands for, the smaller.
_MFCC_RANGES = (
    (-50.0, 250.0),
    (-120.0, 100.0),
    (-80.0, 80.0),
    (-80.0, 60.0),
    *4 * ((-60.0, 50.0),),
)


def _mfccs() -> tuple[Descriptor, ...]:
    return tuple(
        Descriptor(f"mfcc_{number}", "dB", low, high, "shape of the spectrum's envelope, mean")
        for number, (low, high) in enumerate(_MFCC_RANGES, start=1)
    )


DESCRIPTORS: tuple[Descriptor, ...] = (
    Descriptor("tempo", "BPM", _SLOWEST, _FASTEST, "strongest pulse; 0 without any"),
    Descriptor("beat_strength", "1", 0.0, 1.0, "autocorrelation of the onsets at the tempo"),
    Descriptor("beat_regularity", "1", 0.5, 1.0, "likeness of the pulse over the track"),
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
    *_contrasts(),
    Descriptor("chroma_entropy", "bit", 2.5, float(np.log2(12)), "evenness of the twelve notes"),
    Descriptor("chroma_deviation", "1", 0.0, 0.5, "change of the notes over the track"),
    Descriptor("major_strength", "1", 0.0, 1.0, "correlation with the best major key"),
    Descriptor("minor_strength", "1", 0.0, 1.0, "correlation with the best minor key"),
    Descriptor("key_clarity", "1", 0.0, 0.5, "lead of the best of 24 keys over the second"),
    Descriptor("tonnetz_fifths", "1", 0.0, 0.7, "gathering of notes on the circle of fifths"),
    Descriptor("tonnetz_minor_thirds", "1", 0.0, 1.0, "the same on that of minor thirds"),
    Descriptor("tonnetz_major_thirds", "1", 0.0, 0.5, "the same on that of major thirds"),
    *_mfccs(),
)


def descriptors(waveform: np.ndarray) -> np.ndarray:
    """Describe a track. May be called from several threads at once.

    A track shorter than one frame (128 ms) is filled up with zeros. One that stays below -100 dB
    of full scale is silence: all is 0 but its loudness (-100 dB) and its silence ratio (1). Means
    and deviations of the spectrum leave out silent frames.

    Args:
        waveform: float32 (samples,), mono at 16 kHz, nominally within [-1, 1].

    Returns:
        float32 (42,), in the order and the natural units of `DESCRIPTORS`; always finite, but not
        confined to their ranges.

    Raises:
        ValueError: not one-dimensional, empty, or not finite.
    """
    samples, loudness, crest = _levelled(waveform)
    frames = _frames(samples)
    level = 10 * np.log10(np.maximum(frames.power, _TINY))
    sounding = (level > level.max() - _SOUNDING) & (frames.power > _TINY)
    found = {"loudness": loudness, "crest_factor": crest}
    found["zero_crossing_rate"] = _zero_crossing_rate(samples)
    found |= _dynamics(frames.power, level, sounding)
    found |= _shape(frames, sounding)
    found |= _harmony(frames.chroma, sounding)
    mel = _decibels(frames.mel.T)
    found |= _envelope(mel, sounding)
    found |= _rhythm(mel)
    return np.array([found[each.name] for each in DESCRIPTORS], np.float32)


def normalised(values: np.ndarray) -> np.ndarray:
    """Map descriptors to 0-1 by their fixed ranges, linearly, and clip what lies outside.

    Args:
        values: (..., 42), as `descriptors` gives them.

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


def _levelled(waveform: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Centre on zero and scale to a peak of 1; loudness before that, and crest factor, dB."""
    samples = np.asarray(waveform, np.float32)
    if samples.ndim != 1 or not len(samples):
        raise ValueError(f"expected (samples,), at least one of them; got {samples.shape}")
    offset = samples.mean(dtype=np.float64)
    if not np.isfinite(offset):
        raise ValueError("the waveform holds values that are not finite")
    samples = samples - np.float32(offset)
    peak = float(np.abs(samples).max())
    if peak < _SILENT_PEAK:
        return np.zeros(max(len(samples), N_FFT), np.float32), _SILENT_LOUDNESS, 0.0
    samples /= np.float32(peak)
    crest = -10 * float(np.log10(np.mean(np.square(samples), dtype=np.float64)))
    loudness = max(20 * float(np.log10(peak)) - crest, _SILENT_LOUDNESS)
    return np.pad(samples, (0, max(0, N_FFT - len(samples)))), loudness, crest


class _Frames(NamedTuple):
    """What is kept of each frame of the spectrum; (frames,) where nothing else is said."""

    power: np.ndarray  # mean square of the samples under the window
    low: np.ndarray  # the part of `power` below 250 Hz
    high: np.ndarray  # the part above 2 kHz
    centroid: np.ndarray  # Hz
    bandwidth: np.ndarray  # Hz
    rolloff: np.ndarray  # Hz
    flatness: np.ndarray  # dB
    peaks: np.ndarray  # (frames, 7), mean magnitude of each band's highest bins
    valleys: np.ndarray  # (frames, 7), of its lowest
    mel: np.ndarray  # (frames, 128), power
    chroma: np.ndarray  # (frames, 12), the strongest note at 1


def _frames(samples: np.ndarray) -> _Frames:
    import librosa

    count = 1 + len(samples) // HOP
    padded = np.pad(samples, N_FFT // 2)
    blocks = []
    for first in range(0, count, _BLOCK):
        last = min(first + _BLOCK, count) - 1
        piece = padded[first * HOP : last * HOP + N_FFT]
        spectrum = librosa.stft(piece, n_fft=N_FFT, hop_length=HOP, center=False)
        blocks.append(_describe_frames(np.ascontiguousarray(np.abs(spectrum).T)))
    return _Frames(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def _describe_frames(magnitude: np.ndarray) -> _Frames:
    """What is kept of (frames, 1025) magnitudes."""
    power = np.square(magnitude)
    summed = power @ _bank()
    energy, low, high = summed[:, :3].T
    mel, chroma = summed[:, 3:-12], summed[:, -12:]
    centroid, bandwidth = _moments(magnitude)
    cumulative = np.cumsum(magnitude, axis=1)
    rolloff = (cumulative < _ROLLOFF * cumulative[:, -1:]).sum(1) * (SAMPLE_RATE / N_FFT)
    floored = np.maximum(power[:, _frequencies() <= _HIGHEST], _TINY)
    arithmetic = 10 * np.log10(floored.mean(1))
    flatness = 10 * np.log10(floored, out=floored).mean(1) - arithmetic
    strongest = chroma.max(1, keepdims=True)
    chroma = chroma / np.where(strongest > _TINY, strongest, np.inf)
    peaks, valleys = _extremes(magnitude)
    return _Frames(
        energy, low, high, centroid, bandwidth, rolloff, flatness, peaks, valleys, mel, chroma
    )


@lru_cache(maxsize=1)
def _frequencies() -> np.ndarray:
    return np.arange(N_FFT // 2 + 1, dtype=np.float32) * np.float32(SAMPLE_RATE / N_FFT)


@lru_cache(maxsize=1)
def _bank() -> np.ndarray:
    """Sums of power in one product, (1025, 143): all, low, high, 128 mel bands, 12 notes."""
    import librosa

    frequencies = _frequencies()
    window = librosa.filters.get_window("hann", N_FFT)
    # Parseval: both halves of the spectrum, of which only one is there, over the window's energy.
    whole = np.full(len(frequencies), 2 / (N_FFT * np.square(window).sum()))
    whole[[0, -1]] /= 2
    bands = [whole, whole * (frequencies < _LOW_BELOW), whole * (frequencies > _HIGH_ABOVE)]
    mel = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, fmax=_HIGHEST)
    chroma = librosa.filters.chroma(sr=SAMPLE_RATE, n_fft=N_FFT, tuning=0.0)
    return np.ascontiguousarray(np.vstack([*bands, mel, chroma]).T, dtype=np.float32)


def _moments(magnitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centroid and bandwidth of each frame, Hz; 0 of a frame without sound."""
    scale = np.float32(SAMPLE_RATE / 2)  # powers of frequencies in Hz would lose digits
    relative = _frequencies() / scale
    total, first, second = (magnitude @ np.stack([relative**0, relative, relative**2], 1)).T
    total = np.where(total > _TINY, total, np.inf)
    centroid = first / total
    bandwidth = np.sqrt(np.maximum(second / total - np.square(centroid), 0))
    return centroid * scale, bandwidth * scale


@lru_cache(maxsize=1)
def _contrast_bins() -> tuple[tuple[int, int, int], ...]:
    """First bin, end and length of the tails of each octave band, as librosa cuts them."""
    frequencies = _frequencies()
    bands = []
    for band, (low, high) in enumerate(pairwise(_CONTRAST_EDGES)):
        inside = np.flatnonzero((frequencies >= low) & (frequencies <= high))
        first, end = int(inside[0]), int(inside[-1]) + 1
        first -= band > 0  # librosa gives a band its lower neighbour's last bin, ...
        tail = round(max(1.0, _CONTRAST_TAIL * (end - first)))
        end -= (
            band < len(_CONTRAST_EDGES) - 2
        )  # ... and takes its own last from all but the highest
        bands.append((first, end, tail))
    return tuple(bands)


def _extremes(magnitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the highest and of the lowest bins of each octave band, each (frames, 7)."""
    peaks, valleys = [], []
    for first, end, tail in _contrast_bins():
        band = magnitude[:, first:end]
        if tail == 1:
            peaks.append(band.max(1))
            valleys.append(band.min(1))
            continue
        ordered = np.partition(band, (tail - 1, end - first - tail), axis=1)  # no need to sort
        peaks.append(ordered[:, -tail:].mean(1))
        valleys.append(ordered[:, :tail].mean(1))
    return np.stack(peaks, 1), np.stack(valleys, 1)


def _decibels(power: np.ndarray) -> np.ndarray:
    """Power in dB, at most 80 dB below the highest of all."""
    import librosa

    return librosa.power_to_db(power)


def _mean(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean over the chosen frames, (frames, ...) to (...); 0 where there are none."""
    return values[chosen].mean(0) if chosen.any() else np.zeros(values.shape[1:])


def _deviation(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return values[chosen].std(0) if chosen.any() else np.zeros(values.shape[1:])


def _zero_crossing_rate(samples: np.ndarray) -> float:
    negative = np.signbit(samples)
    return np.count_nonzero(negative[1:] != negative[:-1]) / len(samples)


def _dynamics(power: np.ndarray, level: np.ndarray, sounding: np.ndarray) -> dict[str, float]:
    names = ("loudness_range", "loudness_deviation", "dynamic_complexity")
    if not sounding.any():
        return dict.fromkeys(names, 0.0) | {"silence_ratio": 1.0}
    seconds = _smoothed_level(power, 1.0)[sounding]
    low, high = np.percentile(seconds, (10, 95))
    overall = 10 * np.log10(power.mean(dtype=np.float64))
    complexity = np.abs(_smoothed_level(power, 0.2)[sounding] - overall).mean()
    values = (float(high - low), float(_deviation(level, sounding)), float(complexity))
    return dict(zip(names, values, strict=True)) | {"silence_ratio": 1 - float(sounding.mean())}


def _smoothed_level(power: np.ndarray, seconds: float) -> np.ndarray:
    """Level of the surroundings of each frame, dB."""
    smooth = uniform_filter1d(power.astype(np.float64), round(seconds * FRAME_RATE), mode="nearest")
    return 10 * np.log10(np.maximum(smooth, _TINY))


def _shape(frames: _Frames, sounding: np.ndarray) -> dict[str, float]:
    """Descriptors of the spectrum's shape."""
    total = max(float(frames.power.sum()), _TINY)
    found = {
        "centroid_mean": float(_mean(frames.centroid, sounding)),
        "centroid_deviation": float(_deviation(frames.centroid, sounding)),
        "bandwidth_mean": float(_mean(frames.bandwidth, sounding)),
        "rolloff_mean": float(_mean(frames.rolloff, sounding)),
        "flatness_mean": float(_mean(frames.flatness, sounding)),
        "low_energy": float(frames.low.sum()) / total,
        "high_energy": float(frames.high.sum()) / total,
    }
    contrast = _mean(_decibels(frames.peaks) - _decibels(frames.valleys), sounding)
    names = [each.name for each in _contrasts()]
    return found | dict(zip(names, map(float, contrast), strict=True))


def _envelope(mel: np.ndarray, sounding: np.ndarray) -> dict[str, float]:
    """MFCCs of (128, frames) dB but the first, which is the level."""
    import librosa

    coefficients = librosa.feature.mfcc(S=mel, n_mfcc=1 + _MFCCS)[1:]
    means = _mean(coefficients.T, sounding)
    return {f"mfcc_{number}": float(value) for number, value in enumerate(means, start=1)}


def _harmony(chroma: np.ndarray, sounding: np.ndarray) -> dict[str, float]:
    import librosa

    mean = _mean(chroma, sounding).astype(np.float64)
    share = mean / max(float(mean.sum()), _TINY)
    entropy = -float((share * np.log2(np.maximum(share, _TINY))).sum())
    fits = _key_fits(mean)
    best, second = np.sort(fits, axis=None)[:-3:-1]
    # Each pair of coordinates is a point in a circle; its distance from the centre stays when the
    # music is transposed, and its direction does not.
    points = librosa.feature.tonnetz(chroma=chroma.T).reshape(3, 2, -1)
    fifths, minor, major = map(float, _mean(np.hypot(points[:, 0], points[:, 1]).T, sounding))
    return {
        "chroma_entropy": max(entropy, 0.0),
        "chroma_deviation": float(_deviation(chroma, sounding).mean()),
        "major_strength": float(fits[0].max()),
        "minor_strength": float(fits[1].max()),
        "key_clarity": float(best - second),
        "tonnetz_fifths": fifths,
        "tonnetz_minor_thirds": minor,
        "tonnetz_major_thirds": major,
    }


@lru_cache(maxsize=1)
def _keys() -> np.ndarray:
    """Standard scores of the profiles of all keys, (2, 12, 12): major and minor, tonic, note."""
    tonics = range(12)
    profiles = np.array([[np.roll(mode, tonic) for tonic in tonics] for mode in (_MAJOR, _MINOR)])
    profiles -= profiles.mean(-1, keepdims=True)
    return profiles / profiles.std(-1, keepdims=True)


def _key_fits(chroma: np.ndarray) -> np.ndarray:
    """Correlation of (12,) with each key, (2, 12); 0 where all notes are alike."""
    spread = chroma.std()
    if spread < 1e-6:
        return np.zeros((2, 12))
    return _keys() @ ((chroma - chroma.mean()) / spread) / 12


def _rhythm(mel: np.ndarray) -> dict[str, float]:
    """Descriptors of (128, frames) dB."""
    import librosa

    novelty = librosa.onset.onset_strength(S=mel, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP)
    novelty = novelty.astype(np.float64)
    tempo, strength, regularity = _pulse(novelty)
    return {
        "tempo": tempo,
        "beat_strength": strength,
        "beat_regularity": regularity,
        "onset_rate": _onsets(novelty) * FRAME_RATE / len(novelty),
        "flux_mean": float(novelty.mean()),
    }


def _onsets(novelty: np.ndarray) -> int:
    """How many peaks there are that stand above their surroundings by 7 % of the highest."""
    highest = float(novelty.max())
    if highest < 1e-3:
        return 0
    relative = novelty / highest
    peak = relative >= maximum_filter1d(relative, 3, mode="constant")
    above = relative > uniform_filter1d(relative, 7, mode="nearest") + 0.07
    return int(np.count_nonzero(peak & above))


def _pulse(novelty: np.ndarray) -> tuple[float, float, float]:
    """Tempo (BPM), autocorrelation there (0-1), and likeness over the track (0-1)."""
    spectra = _pulse_spectra(novelty)
    if not len(spectra):
        return 0.0, 0.0, 0.0
    steps = _LAG_STEPS
    # Zeros above the spectrum interpolate between lags: one frame is 8 BPM at 120 BPM.
    fine = irfft(spectra.mean(0), 2 * _PULSE_WINDOW * steps)[: _PULSE_WINDOW * steps] * steps
    lags = np.arange(
        int(np.ceil(60 * FRAME_RATE / _FASTEST * steps)),
        int(60 * FRAME_RATE / _SLOWEST * steps) + 1,
    )
    tempi = 60 * FRAME_RATE * steps / lags
    correlation = fine[lags] / _overlap()[lags]
    # Every multiple of a beat is a pulse too: listeners choose what is nearest to 120 BPM.
    usual = np.exp(-0.5 * np.square(np.log2(tempi / _USUAL)))
    best = int(np.argmax(correlation * usual))
    strength = float(np.clip(correlation[best], 0, 1))
    return float(tempi[best]), strength, _likeness(spectra)


def _pulse_spectra(novelty: np.ndarray) -> np.ndarray:
    """Power spectra of windows of novelty, (windows, 257), each of autocorrelation 1 at lag 0."""
    filled = np.pad(novelty, (0, max(0, _PULSE_WINDOW - len(novelty))), mode="constant")
    windows = np.lib.stride_tricks.sliding_window_view(filled, _PULSE_WINDOW)[::_PULSE_HOP]
    windows = (windows - windows.mean(1, keepdims=True)) * np.hanning(_PULSE_WINDOW)
    energy = np.square(windows).sum(1)
    active = energy > 1e-3 * max(float(energy.max()), 1e-3)  # windows of silence say nothing
    power = np.square(np.abs(rfft(windows[active], 2 * _PULSE_WINDOW)))
    return power / energy[active, None]


@lru_cache(maxsize=1)
def _overlap() -> np.ndarray:
    """How much of a window is left at each fine lag, by which its autocorrelation shrinks."""
    power = np.square(np.abs(rfft(np.hanning(_PULSE_WINDOW), 2 * _PULSE_WINDOW)))
    fine = irfft(power, 2 * _PULSE_WINDOW * _LAG_STEPS)
    return fine / fine[0]


def _likeness(spectra: np.ndarray) -> float:
    """Mean cosine between each window's autocorrelation at lags of a beat and their mean."""
    correlation = irfft(spectra)[:, round(60 * FRAME_RATE / _FASTEST) : _PULSE_WINDOW // 2]
    length = np.linalg.norm(correlation, axis=1, keepdims=True)
    units = correlation / np.maximum(length, _TINY)
    return float(np.clip(np.linalg.norm(units.mean(0)), 0, 1))
