"""Descriptors of rhythm: tempo, beat and onsets."""

from functools import lru_cache

import numpy as np
from scipy.fft import irfft, rfft
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.catalogue.spectrum import FRAME_RATE, HOP, N_FFT, TINY

MIN_TEMPO, MAX_TEMPO = 40.0, 220.0  # BPM
_USUAL_TEMPO = 120.0  # BPM
_WINDOW, _WINDOW_HOP = 256, 32  # frames: 8.2 s and 1 s
_LAG_STEPS = 16  # per frame, to which the autocorrelation is interpolated


def rhythm(mel: np.ndarray) -> dict[str, float]:
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
    """Number of peaks that exceed their surroundings by 7 % of the highest."""
    highest = float(novelty.max())
    if highest < 1e-3:
        return 0
    relative = novelty / highest
    peak = relative >= maximum_filter1d(relative, 3, mode="constant")
    above = relative > uniform_filter1d(relative, 7, mode="nearest") + 0.07
    return int(np.count_nonzero(peak & above))


def _pulse(novelty: np.ndarray) -> tuple[float, float, float]:
    """Tempo (BPM), autocorrelation there (0 to 1), and regularity over the track (0 to 1)."""
    spectra = _pulse_spectra(novelty)
    if not len(spectra):
        return 0.0, 0.0, 0.0
    steps = _LAG_STEPS
    # zeros above the spectrum interpolate between lags: at 120 BPM one frame is 8 BPM
    fine = irfft(spectra.mean(0), 2 * _WINDOW * steps)[: _WINDOW * steps] * steps
    lags = np.arange(
        int(np.ceil(60 * FRAME_RATE / MAX_TEMPO * steps)),
        int(60 * FRAME_RATE / MIN_TEMPO * steps) + 1,
    )
    tempi = 60 * FRAME_RATE * steps / lags
    correlation = fine[lags] / _overlap()[lags]
    # multiples of the beat correlate too; listeners prefer tempi near 120 BPM
    usual = np.exp(-0.5 * np.square(np.log2(tempi / _USUAL_TEMPO)))
    best = int(np.argmax(correlation * usual))
    strength = float(np.clip(correlation[best], 0, 1))
    return float(tempi[best]), strength, _regularity(spectra)


def _pulse_spectra(novelty: np.ndarray) -> np.ndarray:
    """Power spectra of windows of novelty, (windows, 257), each normalised to unit energy."""
    filled = np.pad(novelty, (0, max(0, _WINDOW - len(novelty))), mode="constant")
    windows = np.lib.stride_tricks.sliding_window_view(filled, _WINDOW)[::_WINDOW_HOP]
    windows = (windows - windows.mean(1, keepdims=True)) * np.hanning(_WINDOW)
    energy = np.square(windows).sum(1)
    active = energy > 1e-3 * max(float(energy.max()), 1e-3)  # silent windows are left out
    power = np.square(np.abs(rfft(windows[active], 2 * _WINDOW)))
    return power / energy[active, None]


@lru_cache(maxsize=1)
def _overlap() -> np.ndarray:
    """Overlap of a window with itself at each fine lag, which scales its autocorrelation."""
    power = np.square(np.abs(rfft(np.hanning(_WINDOW), 2 * _WINDOW)))
    fine = irfft(power, 2 * _WINDOW * _LAG_STEPS)
    return fine / fine[0]


def _regularity(spectra: np.ndarray) -> float:
    """Mean cosine of each window's autocorrelation (lags of a beat) with their mean."""
    correlation = irfft(spectra)[:, round(60 * FRAME_RATE / MAX_TEMPO) : _WINDOW // 2]
    length = np.linalg.norm(correlation, axis=1, keepdims=True)
    units = correlation / np.maximum(length, TINY)
    return float(np.clip(np.linalg.norm(units.mean(0)), 0, 1))
