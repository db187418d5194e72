"""Synthesised excerpts of which one property is drawn and therefore known exactly.

Each task has classes: keys, tempi, qualities of chords, instruments or pitches. Everything else is
random and independent of the class: instruments, register, rhythm, room, noise and level.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.audio.rendering import in_processes, write_flac
from ssl_audio.audio.synthesis import GENRES, MAJOR, MINOR, PLAYERS, Player, add, master, play
from ssl_audio.io.cache import cache_folder

VERSION = 1  # of the excerpts: raise it when the same parameters would sound different

NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
MODES = {"major": MAJOR, "minor": MINOR}
CHORDS = {  # semitones above the root
    "major": (0, 4, 7), "minor": (0, 3, 7), "diminished": (0, 3, 6), "augmented": (0, 4, 8),
    "suspended fourth": (0, 5, 7), "dominant seventh": (0, 4, 7, 10),
    "major seventh": (0, 4, 7, 11), "minor seventh": (0, 3, 7, 10),
}  # fmt: skip
TEMPI = tuple(range(60, 181, 5))  # beats per minute
PITCHES = tuple(range(48, 84))  # MIDI numbers
RHYTHMS = ("pop", "techno", "march", "funk")  # genres with drums
PROGRESSIONS = ((0, 3, 4, 0), (0, 5, 3, 4), (0, 3, 0, 4))  # all begin on the tonic
PITCHED = tuple(name for name in PLAYERS if name != "bells")  # which are no harmonic series
DURATIONS = (0.3, 1.5)  # of a note or chord, shortest and longest, seconds

Compose = Callable[[np.ndarray, int, np.random.Generator], None]  # mix, class, random numbers


@dataclass(frozen=True)
class Task:
    """One property of the excerpts.

    Attributes:
        compose: adds an excerpt of a class, by its number, to (samples,) of silence.
    """

    classes: tuple[str, ...]
    compose: Compose


def make_task_corpus(
    name: str, tracks: int, seconds: float, seed: int, folder: Path | None
) -> list[tuple[Path, str]]:
    """Make the excerpts of a task, or those that are missing, as 16 kHz mono FLAC files.

    The same parameters give the same bytes; excerpts made before are kept. The classes are equally
    frequent.

    Args:
        name: one of `TASKS`.
        seconds: length of each.
        folder: None is one in the cache, by the parameters.

    Returns:
        The file and the class of each excerpt, in an order that is random by class.
    """
    classes = TASKS[name].classes
    parameters = [VERSION, name, tracks, seconds, seed]
    digest = hashlib.sha256(json.dumps(parameters).encode()).hexdigest()[:10]
    folder = (folder or cache_folder() / "synthetic") / f"{name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    order = _generator(name, seed).permutation(np.arange(tracks) % len(classes)).tolist()
    paths = [folder / f"{track:05d}.flac" for track in range(tracks)]
    missing = [
        (name, number, track, seconds, seed, path)
        for track, (number, path) in enumerate(zip(order, paths, strict=True))
        if not path.exists()
    ]
    if missing:
        in_processes(_make, missing, f"synthesising {name}")
    return [(path, classes[number]) for path, number in zip(paths, order, strict=True)]


def _make(job: tuple[str, int, int, float, int, Path]) -> None:
    """Write an excerpt: task, number of the class, track, seconds, seed, path."""
    name, number, track, seconds, seed, path = job
    rng = _generator(name, seed, track)
    mix = np.zeros(round(seconds * SAMPLE_RATE))
    TASKS[name].compose(mix, number, rng)
    write_flac(path, master(mix, rng))


def _generator(task: str, seed: int, *more: int) -> np.random.Generator:
    return np.random.default_rng((VERSION, zlib.crc32(task.encode()), seed, *more))


# --- the tasks -----------------------------------------------------------------------------------


def _key(mix: np.ndarray, number: int, rng: np.random.Generator) -> None:
    """Melody and chords of one scale, over a progression that begins on its tonic."""
    mode, tonic = divmod(number, 12)
    genre = GENRES[str(rng.choice([name for name in GENRES if name != "ambient"]))]
    scale = list(MODES.values())[mode]
    genre = replace(genre, scale=scale, progressions=PROGRESSIONS, density=0.5)
    drums = genre.drums is not None and bool(rng.random() < 0.5)
    instruments = _some(genre.instruments, rng)
    play(mix, genre, instruments, drums, float(rng.uniform(*genre.tempo)), 48 + tonic, rng)


def _tempo(mix: np.ndarray, number: int, rng: np.random.Generator) -> None:
    """Music with drums, whatever the usual tempo of its genre."""
    genre = GENRES[str(rng.choice(RHYTHMS))]
    instruments = _some(genre.instruments, rng)
    play(mix, genre, instruments, True, float(TEMPI[number]), int(rng.integers(48, 60)), rng)


def _chord(mix: np.ndarray, number: int, rng: np.random.Generator) -> None:
    """One chord again and again: its root in the bass, the other tones in random octaves."""
    root, intervals = int(rng.integers(48, 60)), list(CHORDS.values())[number]

    def voicing() -> list[int]:
        upper = [root + i + 12 * int(rng.integers(0, 2)) for i in intervals[1:]]
        return [root, *upper]

    _sequence(mix, PLAYERS[str(rng.choice(PITCHED))], voicing, rng)


def _instrument(mix: np.ndarray, number: int, rng: np.random.Generator) -> None:
    """A melody of random pitches by one instrument."""
    player = PLAYERS[list(PLAYERS)[number]]
    _sequence(mix, player, lambda: [int(rng.choice(PITCHES))], rng)


def _pitch(mix: np.ndarray, number: int, rng: np.random.Generator) -> None:
    """One note again and again."""
    player = PLAYERS[str(rng.choice(PITCHED))]
    _sequence(mix, player, lambda: [PITCHES[number]], rng)


def _some(instruments: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Two or three of the instruments."""
    count = min(len(instruments), int(rng.integers(2, 4)))
    return [str(one) for one in rng.choice(list(instruments), count, replace=False)]


def _sequence(
    mix: np.ndarray, player: Player, tones: Callable[[], list[int]], rng: np.random.Generator
) -> None:
    """Notes or chords one after another; `tones` gives the MIDI numbers of the next."""
    start, end = 0.0, len(mix) / SAMPLE_RATE
    while start < end:
        seconds = float(rng.uniform(*DURATIONS))
        gain = float(rng.uniform(0.5, 1.0))
        for tone in tones():
            frequency = 440.0 * 2 ** ((tone - 69) / 12)
            add(mix, player(frequency, 0.9 * seconds, rng), start, 0.3 * gain)
        start += seconds


TASKS = {
    "key": Task(tuple(f"{note} {mode}" for mode in MODES for note in NOTES), _key),
    "tempo": Task(tuple(map(str, TEMPI)), _tempo),
    "chord": Task(tuple(CHORDS), _chord),
    "instrument": Task(tuple(PLAYERS), _instrument),
    "pitch": Task(tuple(map(str, PITCHES)), _pitch),
}
