"""Synthesised multi-instrument music with tags.

Every track has a genre (scale, tempo, metre, chord progressions, drums) and a few instruments, each
with a synthesis method of its own. Parts enter and leave by sections, so that two segments of a
track differ while its timbre stays. Tags name genre, instruments and tempo.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy  # loads scipy.signal, which takes a second, where it is used first

from ssl_audio.audio import SAMPLE_RATE

VERSION = 1  # of the music: raise it when the same parameters would sound different

MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
DORIAN, PHRYGIAN = (0, 2, 3, 5, 7, 9, 10), (0, 1, 3, 5, 7, 8, 10)
PENTATONIC, WHOLE_TONE = (0, 2, 4, 7, 9), (0, 2, 4, 6, 8, 10)


@dataclass(frozen=True)
class Genre:
    """Common properties of the tracks of a genre."""

    scale: tuple[int, ...]  # semitones above the tonic
    tempo: tuple[float, float]  # min and max, beats per minute
    beats: int  # in a bar
    progressions: tuple[tuple[int, ...], ...]  # degrees of the scale, one per bar
    drums: tuple[str, str, str] | None  # kick, snare and hat over a bar of eighths; None: no drums
    instruments: tuple[str, ...]  # those in use
    density: float  # probability of a melody note on an eighth


# fmt: off
GENRES = {
    "pop": Genre(MAJOR, (95, 125), 4, ((0, 4, 5, 3), (5, 3, 0, 4)),
                 ("x...x...", "..x...x.", "xxxxxxxx"),
                 ("epiano", "guitar", "lead", "pad", "strings"), 0.45),
    "techno": Genre(MINOR, (124, 140), 4, ((0, 0, 5, 6),), ("x.x.x.x.", "..x...x.", ".x.x.x.x"),
                    ("lead", "pad", "bells"), 0.6),
    "waltz": Genre(MAJOR, (130, 175), 3, ((0, 3, 4, 0), (0, 5, 1, 4)), None,
                   ("strings", "flute", "organ", "epiano"), 0.4),
    "ambient": Genre(WHOLE_TONE, (55, 75), 4, ((0, 2), (0, 3)), None,
                     ("pad", "bells", "strings", "flute"), 0.12),
    "folk": Genre(PENTATONIC, (85, 120), 4, ((0, 3, 0, 4), (0, 2, 3, 0)), None,
                  ("guitar", "flute", "strings"), 0.55),
    "march": Genre(MAJOR, (105, 120), 2, ((0, 3, 4, 0), (0, 0, 4, 4)), ("x.x.", ".x.x", "...."),
                   ("brass", "flute", "bells"), 0.5),
    "funk": Genre(DORIAN, (96, 112), 4, ((0, 3), (0, 0, 3, 3)),
                  ("x..x..x.", "..x...x.", "xxxxxxxx"),
                 ("epiano", "brass", "guitar", "organ"), 0.5),
    "flamenco": Genre(PHRYGIAN, (110, 150), 3, ((0, 1, 2, 1), (3, 2, 1, 0)), None,
                      ("guitar", "brass", "flute"), 0.7),
}  # fmt: skip


def _times(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _envelope(length: int, attack: float, release: float) -> np.ndarray:
    shape = np.ones(length)
    rise, fall = (min(length, max(1, round(s * SAMPLE_RATE))) for s in (attack, release))
    shape[:rise] *= np.linspace(0, 1, rise)
    shape[-fall:] *= np.linspace(1, 0, fall)
    return shape


def _harmonics(frequency: float, phase: np.ndarray, weights: Iterable[float]) -> np.ndarray:
    """Sum of harmonics below 7.5 kHz; `phase` is the fundamental's, radians."""
    parts = [w * np.sin(k * phase) for k, w in enumerate(weights, 1) if k * frequency < 7500]
    return np.sum(parts, axis=0) if parts else np.zeros_like(phase)


def _guitar(frequency: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Karplus-Strong: a burst of noise in a damped delay line."""
    length = round((seconds + 0.3) * SAMPLE_RATE)
    delay = max(2, round(SAMPLE_RATE / frequency - 0.5))
    burst = np.zeros(length)
    burst[: min(delay, length)] = rng.uniform(-1, 1, delay)[:length]
    feedback = np.zeros(delay + 2)
    feedback[0], feedback[delay], feedback[delay + 1] = 1.0, -0.498, -0.498
    return scipy.signal.lfilter([1.0], feedback, burst) * _envelope(length, 0.001, 0.05)


def _epiano(frequency: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    t = _times(seconds + 0.2)
    modulator = np.sin(2 * np.pi * frequency * t) * 1.5 * np.exp(-4 * t)
    tine = 0.15 * np.sin(2 * np.pi * min(14 * frequency, 7000) * t) * np.exp(-18 * t)
    tone = np.sin(2 * np.pi * frequency * t + modulator) + tine
    return tone * np.exp(-2.0 * t) * _envelope(len(t), 0.003, 0.1)


def _bells(frequency: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    t = _times(seconds + 0.8)
    index = 4.0 * np.exp(-2.5 * t)
    tone = np.sin(2 * np.pi * 2 * frequency * t + index * np.sin(2 * np.pi * 2.8 * frequency * t))
    return tone * np.exp(-3.0 * t) * _envelope(len(t), 0.001, 0.1)


def _organ(frequency: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    t = _times(seconds)
    phase = 2 * np.pi * frequency * t + 0.05 * np.sin(2 * np.pi * 6.5 * t)
    tone = _harmonics(frequency, phase, (1, 0.8, 0.6, 0.5, 0, 0.3, 0, 0.35))
    return tone * _envelope(len(t), 0.01, 0.02)


def _saw(frequency: float, t: np.ndarray, cutoff: float) -> np.ndarray:
    weights = [1 / k / (1 + (k * frequency / cutoff) ** 4) for k in range(1, 25)]
    return _harmonics(frequency, 2 * np.pi * frequency * t, weights)


def _lead(frequency: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    t = _times(seconds)
    return _saw(frequency, t, 5000) * _envelope(len(t), 0.005, 0.04)


def _pad(frequency: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    t = _times(seconds + 0.4)
    detuned = _saw(frequency * 1.004, t, 1200) + _saw(frequency * 0.996, t, 1200)
    return 0.6 * detuned * _envelope(len(t), 0.25, 0.4)


def _strings(frequency: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    t = _times(seconds + 0.15)
    swing = np.sin(2 * np.pi * 5.5 * t + rng.uniform(0, 6))
    vibrato = 0.12 * frequency / 440 * swing * np.minimum(1, 4 * t)
    phase = 2 * np.pi * frequency * t + 25 * vibrato / 5.5
    bow = 0.02 * rng.normal(size=len(t))
    tone = _harmonics(frequency, phase, (1, 0.7, 0.6, 0.4, 0.4, 0.25, 0.2, 0.1)) + bow
    return tone * _envelope(len(t), 0.09, 0.15)


def _flute(frequency: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    t = _times(seconds)
    breath = scipy.signal.sosfilt(_breath_filter(), rng.normal(size=len(t)))
    phase = 2 * np.pi * frequency * t + 0.25 * np.sin(2 * np.pi * 5 * t)
    tone = _harmonics(frequency, phase, (1, 0.18, 0.06)) + 0.12 * breath
    return tone * _envelope(len(t), 0.05, 0.06)


@cache
def _breath_filter() -> np.ndarray:
    return scipy.signal.butter(2, (800, 5000), btype="band", fs=SAMPLE_RATE, output="sos")


def _brass(frequency: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    t = _times(seconds)
    opening = np.minimum(1, t / 0.08)  # brightness follows loudness
    phase = 2 * np.pi * frequency * t
    parts = [
        opening ** (1 + 0.4 * k) * np.sin(k * phase) / k**0.6
        for k in range(1, 13)
        if k * frequency < 7500
    ]
    return np.sum(parts, axis=0) * 0.5 * _envelope(len(t), 0.02, 0.06)


Player = Callable[[float, float, np.random.Generator], np.ndarray]
PLAYERS: dict[str, Player] = {
    "guitar": _guitar, "epiano": _epiano, "bells": _bells, "organ": _organ, "lead": _lead,
    "pad": _pad, "strings": _strings, "flute": _flute, "brass": _brass,
}  # fmt: skip


def _drum(kind: str, rng: np.random.Generator) -> np.ndarray:
    t = _times({"kick": 0.25, "snare": 0.18, "hat": 0.06}[kind])
    noise = rng.normal(size=len(t))
    if kind == "kick":
        return 1.6 * np.sin(2 * np.pi * (50 * t + 30 * (1 - np.exp(-25 * t)))) * np.exp(-14 * t)
    if kind == "snare":
        return (0.5 * noise + 0.4 * np.sin(2 * np.pi * 190 * t)) * np.exp(-22 * t)
    return 0.25 * np.diff(noise, prepend=0) * np.exp(-60 * t)


def add(mix: np.ndarray, sound: np.ndarray, start: float, gain: float) -> None:
    """Add a sound to the mix from `start` seconds on, as far as the mix goes."""
    first = round(start * SAMPLE_RATE)
    sound = sound[: max(0, len(mix) - first)]
    mix[first : first + len(sound)] += gain * sound


def _pitch(genre: Genre, tonic: int, degree: int) -> float:
    octave, step = divmod(degree, len(genre.scale))
    return 440.0 * 2 ** ((tonic + 12 * octave + genre.scale[step] - 69) / 12)


@dataclass(frozen=True)
class Song:
    """One track: its samples and its tags."""

    samples: np.ndarray
    tags: tuple[str, ...]


def compose(seed: int, track: int, seconds: float) -> Song:
    """Synthesise one track: float32 (samples,) at 16 kHz, peak below 1, and its tags.

    The result depends on the arguments alone.
    """
    rng = np.random.default_rng((VERSION, seed, track))
    name = sorted(GENRES)[rng.integers(len(GENRES))]
    genre = GENRES[name]
    chosen = list(rng.choice(genre.instruments, size=min(3, len(genre.instruments)), replace=False))
    chosen = chosen[: rng.integers(1, len(chosen) + 1)]
    drums = genre.drums is not None and bool(rng.random() < 0.85)
    tempo = float(rng.uniform(*genre.tempo))
    mix = np.zeros(round(seconds * SAMPLE_RATE))
    play(mix, genre, chosen, drums, tempo, int(rng.integers(48, 60)), rng)
    tags = [f"genre---{name}", *(f"instrument---{i}" for i in chosen)]
    tags += ["instrument---drums"] if drums else []
    tags.append(f"mood/theme---{'fast' if tempo > 115 else 'slow' if tempo < 90 else 'moderate'}")
    return Song(master(mix, rng), tuple(sorted(tags)))


def play(
    mix: np.ndarray, genre: Genre, instruments: list[str], drums: bool, tempo: float, tonic: int,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Add music of a genre to the mix.

    Args:
        mix: (samples,) at 16 kHz.
        genre: scale, metre, progressions, drums and density.
        instruments: one or more.
        drums: whether the genre's drums play.
        tempo: beats per minute.
        tonic: MIDI number.
    """
    eighth = 30.0 / tempo
    bar = 2 * genre.beats * eighth
    progression = genre.progressions[rng.integers(len(genre.progressions))]
    gains = rng.uniform(0.5, 1.0, len(instruments))
    kit = {kind: _drum(kind, rng) for kind in ("kick", "snare", "hat")}
    for index in range(int(len(mix) / SAMPLE_RATE / bar) + 1):
        if index % 4 == 0:  # a section: which instruments have melody and chords, or pause
            order = rng.permutation(len(instruments))
            playing = order[: max(1, len(order) - int(rng.random() < 0.35))]
            level = rng.uniform(0.6, 1.0)
        root = progression[index % len(progression)]
        for place, which in enumerate(playing):
            part = _melody if place == 0 else _chords
            part(mix, genre, PLAYERS[instruments[which]], tonic, root, index * bar, eighth,
                 level * gains[which], rng)  # fmt: skip
        if drums and genre.drums is not None:
            _beat(mix, genre.drums, kit, index * bar, eighth, 2 * genre.beats)


def _melody(
    mix: np.ndarray, genre: Genre, player: Player, tonic: int, root: int, start: float,
    eighth: float, gain: float, rng: np.random.Generator,
) -> None:  # fmt: skip
    for step in range(2 * genre.beats):
        if step and rng.random() > genre.density:
            continue
        degree = root + int(rng.choice((0, 2, 4, 5, 7, 9)))
        length = eighth * float(rng.choice((1, 2, 3)))
        sound = player(_pitch(genre, tonic + 12, degree), length, rng)
        add(mix, sound, start + step * eighth, 0.35 * gain)


def _chords(
    mix: np.ndarray, genre: Genre, player: Player, tonic: int, root: int, start: float,
    eighth: float, gain: float, rng: np.random.Generator,
) -> None:  # fmt: skip
    bar = 2 * genre.beats * eighth
    for degree in (root, root + 2, root + 4):
        add(mix, player(_pitch(genre, tonic, degree), 0.95 * bar, rng), start, 0.2 * gain)
    add(mix, player(_pitch(genre, tonic - 12, root), 0.95 * bar, rng), start, 0.3 * gain)


def _beat(
    mix: np.ndarray, patterns: tuple[str, str, str], kit: dict[str, np.ndarray], start: float,
    eighth: float, steps: int,
) -> None:  # fmt: skip
    for kind, pattern in zip(("kick", "snare", "hat"), patterns, strict=True):
        for step in range(steps):
            if pattern[step % len(pattern)] == "x":
                add(mix, kit[kind], start + step * eighth, 0.4)


def master(mix: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reverberation, tone control, noise and level, independent of the tags."""
    t = _times(float(rng.uniform(0.15, 1.2)))
    room = rng.normal(size=len(t)) * np.exp(-6.9 * t / t[-1])
    wet = scipy.signal.fftconvolve(mix, room / np.sqrt(np.sum(room**2)))[: len(mix)]
    mix = mix + rng.uniform(0.03, 0.25) * wet
    tilt = rng.uniform(-0.35, 0.35)
    mix = scipy.signal.lfilter([1.0, tilt], [1.0], mix)
    mix = mix + 10 ** rng.uniform(-4.5, -3.3) * rng.normal(size=len(mix))
    return (mix / np.max(np.abs(mix)) * rng.uniform(0.4, 0.9)).astype(np.float32)
