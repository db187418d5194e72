"""Features of the frames of a track's short-time spectrum, from which descriptors are made.

It is computed in blocks of frames, so that memory stays bounded for long tracks.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.io.compiled_cache import allow_librosa

allow_librosa()  # for all that describes spectra

N_FFT = 2048  # samples: 128 ms
HOP = 512  # samples: 32 ms
FRAME_RATE = SAMPLE_RATE / HOP  # Hz
TINY = 1e-10  # librosa's floor of power
MAX_FREQUENCY = 7000.0  # Hz; above it, the spectra of resampled tracks fall off
CONTRAST_EDGES = (0.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, MAX_FREQUENCY)  # Hz

_FREQUENCIES = np.arange(N_FFT // 2 + 1, dtype=np.float32) * np.float32(SAMPLE_RATE / N_FFT)  # Hz
_BLOCK = 128  # frames at a time
_CONTRAST_TAIL = 0.02  # fraction of a band's bins that are its peaks, and its valleys
_ROLLOFF = 0.85
_LOW_BELOW, _HIGH_ABOVE = 250.0, 2000.0  # Hz


class Frames(NamedTuple):
    """Values of each frame: (frames,) unless given otherwise."""

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


def frames_of(blocks: Iterable[np.ndarray], samples: int) -> Frames:
    """The frames of a waveform of so many samples, in blocks; centred, padded with zeros."""
    import librosa

    found = []
    for piece in _overlapping(blocks, 1 + samples // HOP):
        spectrum = librosa.stft(piece, n_fft=N_FFT, hop_length=HOP, center=False)
        found.append(_describe_frames(np.ascontiguousarray(np.abs(spectrum).T)))
    return Frames(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _overlapping(blocks: Iterable[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """The samples of 128 frames at a time, of `count` frames in all."""
    ends = [np.zeros(N_FFT // 2, np.float32)]
    source = chain(ends, blocks, ends)
    held, offset = np.zeros(0, np.float32), 0  # held[0] is sample `offset` of the padded waveform
    for first in range(0, count, _BLOCK):
        last = min(first + _BLOCK, count) - 1
        end = last * HOP + N_FFT - offset
        while len(held) < end:
            held = np.concatenate([held, next(source)])
        yield held[first * HOP - offset : end]
        done = (last + 1) * HOP - offset
        held, offset = held[done:], offset + done


def _describe_frames(magnitude: np.ndarray) -> Frames:
    """The values of (frames, 1025) magnitudes."""
    power = np.square(magnitude)
    summed = power @ _bank()
    energy, low, high = summed[:, :3].T
    mel, chroma = summed[:, 3:-12], summed[:, -12:]
    centroid, bandwidth = _moments(magnitude)
    cumulative = np.cumsum(magnitude, axis=1)
    rolloff = (cumulative < _ROLLOFF * cumulative[:, -1:]).sum(1) * (SAMPLE_RATE / N_FFT)
    floored = np.maximum(power[:, _FREQUENCIES <= MAX_FREQUENCY], TINY)
    arithmetic = 10 * np.log10(floored.mean(1))
    flatness = 10 * np.log10(floored, out=floored).mean(1) - arithmetic
    strongest = chroma.max(1, keepdims=True)
    chroma = chroma / np.where(strongest > TINY, strongest, np.inf)
    peaks, valleys = _extremes(magnitude)
    return Frames(
        energy, low, high, centroid, bandwidth, rolloff, flatness, peaks, valleys, mel, chroma
    )


@lru_cache(maxsize=1)
def _bank() -> np.ndarray:
    """Sums of power in one product, (1025, 143): all, low, high, 128 mel bands, 12 notes."""
    import librosa

    window = librosa.filters.get_window("hann", N_FFT)
    # Parseval: the energy of both halves of the spectrum, over that of the window
    whole = np.full(len(_FREQUENCIES), 2 / (N_FFT * np.square(window).sum()))
    whole[[0, -1]] /= 2
    bands = [whole, whole * (_FREQUENCIES < _LOW_BELOW), whole * (_FREQUENCIES > _HIGH_ABOVE)]
    mel = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, fmax=MAX_FREQUENCY)
    chroma = librosa.filters.chroma(sr=SAMPLE_RATE, n_fft=N_FFT, tuning=0.0)
    return np.ascontiguousarray(np.vstack([*bands, mel, chroma]).T, dtype=np.float32)


def _moments(magnitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centroid and bandwidth of each frame, Hz; 0 for a silent frame."""
    scale = np.float32(SAMPLE_RATE / 2)  # squares of frequencies in Hz would lose digits
    relative = _FREQUENCIES / scale
    total, first, second = (magnitude @ np.stack([relative**0, relative, relative**2], 1)).T
    total = np.where(total > TINY, total, np.inf)
    centroid = first / total
    bandwidth = np.sqrt(np.maximum(second / total - np.square(centroid), 0))
    return centroid * scale, bandwidth * scale


@lru_cache(maxsize=1)
def _contrast_bins() -> tuple[tuple[int, int, int], ...]:
    """First bin, end, and bins of the tails of each octave band, as in librosa."""
    bands = []
    for band, (low, high) in enumerate(pairwise(CONTRAST_EDGES)):
        inside = np.flatnonzero((_FREQUENCIES >= low) & (_FREQUENCIES <= high))
        first, end = int(inside[0]), int(inside[-1]) + 1
        first -= band > 0  # as librosa: a band has the last bin of the band below,
        tail = round(max(1.0, _CONTRAST_TAIL * (end - first)))
        end -= band < len(CONTRAST_EDGES) - 2  # and, except the highest, not its own last bin
        bands.append((first, end, tail))
    return tuple(bands)


def _extremes(magnitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the highest and of the lowest bins of each octave band, each (frames, 7)."""
    peaks, valleys = [], []
    for first, end, tail in _contrast_bins():
        band = magnitude[:, first:end]
        ordered = np.partition(band, (tail - 1, end - first - tail), axis=1)
        peaks.append(ordered[:, -tail:].mean(1))
        valleys.append(ordered[:, :tail].mean(1))
    return np.stack(peaks, 1), np.stack(valleys, 1)


def mean(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Mean over the chosen frames, (frames, ...) to (...); 0 where there are none."""
    return values[chosen].mean(0) if chosen.any() else np.zeros(values.shape[1:])


def deviation(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Standard deviation over the chosen frames; 0 where there are none."""
    return values[chosen].std(0) if chosen.any() else np.zeros(values.shape[1:])
