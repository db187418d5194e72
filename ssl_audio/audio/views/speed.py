"""Pitch and tempo changed together, by resampling."""

import functools

import numpy as np
import torch
from torch import Tensor

from ssl_audio.audio.views.transform import Context, Interval, Stage, change, probability

FACTORS = (2, 3, 5, 7, 11)  # of lengths whose Fourier transform is fast


class Speed:
    """Playback at another speed: pitch and tempo change together, by a number of semitones.

    The spectrum of the whole crop is cut, or continued with zeros, to that of another number of
    samples: exact up to half of the sample rate, with the crop's ends joined. The number is rounded
    to one without prime factors above 11, which moves the pitch of a crop of a second or more by
    0.1 semitones at most. A faster crop ends early; its last part, 11 % at two semitones, is the
    audio before it in reverse. A slower crop is cut at its end.

    Args:
        semitones: [low, high] of the change; a number is [-semitones, semitones], at most 11.
        p: probability of a change, per view.
    """

    stage: Stage = "waveform"

    def __init__(self, semitones: Interval = 2.0, p: float = 1.0) -> None:
        self.semitones = change("semitones", semitones, 11)
        self.p = probability(p)

    def __call__(self, x: Tensor, context: Context) -> Tensor:
        semitones = (context.uniform(*self.semitones) * context.chosen(self.p)).cpu()
        lengths = _fast_lengths(x.shape[1], 2.0 ** (-semitones.double().numpy() / 12))
        spectrum, made = torch.fft.rfft(x), x.clone()
        for length in set(lengths.tolist()) - {x.shape[1]}:
            rows = torch.from_numpy(np.flatnonzero(lengths == length)).to(x.device)
            other = torch.fft.irfft(spectrum[rows], n=length) * (length / x.shape[1])
            made[rows] = _fitted(other, x.shape[1])
        return made


def _fitted(x: Tensor, samples: int) -> Tensor:
    """(rows, n) cut to (rows, samples), or continued with its end in reverse."""
    missing = samples - x.shape[1]
    if missing <= 0:
        return x[:, :samples]
    return torch.cat([x, x[:, -1 - missing : -1].flip(1)], dim=1)


def _fast_lengths(samples: int, ratios: np.ndarray) -> np.ndarray:
    """For each ratio the fast length next to `samples` times it; `samples` itself counts as one."""
    fast = np.unique(np.append(_products(2 * samples), samples))
    exact = samples * ratios
    above = np.searchsorted(fast, exact).clip(1, len(fast) - 1)
    lower, upper = fast[above - 1], fast[above]
    return np.where(exact - lower < upper - exact, lower, upper)


@functools.lru_cache(maxsize=8)
def _products(limit: int) -> np.ndarray:
    """Products of `FACTORS` up to a limit."""
    found = np.array([1], dtype=np.int64)
    for factor in FACTORS:
        powers = factor ** np.arange(int(np.log(limit) / np.log(factor)) + 1)
        found = np.outer(found, powers).ravel()
        found = found[found <= limit]
    return np.sort(found)
