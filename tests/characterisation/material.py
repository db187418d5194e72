"""Audio, labels and playlists made from fixed seeds: nothing here knows the package."""

import csv
from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000
GENRES = ("rock", "jazz", "folk", "dub")
RAMP = 2**20  # a ramp's sample k has the value k / RAMP, exact in float32


def waveform(seconds: float = 9.5, seed: int = 0) -> np.ndarray:
    """(samples,) float32: four tones that swell, and noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * f * time) for f in rng.uniform(100, 4000, 4))
    swell = 0.02 + 0.08 * np.abs(np.sin(2 * np.pi * 0.3 * time))
    return (swell * tones + rng.normal(0, 0.01, len(time))).astype(np.float32)


def write_music(folder: Path, tracks: int = 8, seconds: float = 8.0) -> Path:
    """A folder of wav files, each with tones of its own."""
    folder.mkdir(parents=True)
    for k in range(tracks):
        soundfile.write(folder / f"{k}.wav", waveform(seconds, seed=k), RATE)
    return folder


def write_formats(folder: Path) -> Path:
    """Files of several containers, sample rates, channel counts and lengths."""
    layouts = [("wav", 8_000, 1), ("flac", 44_100, 2), ("wav", 16_000, 1), ("wav", 22_050, 3)]
    (folder / "more").mkdir(parents=True)
    for k, (suffix, rate, channels) in enumerate(layouts):
        noise = np.random.default_rng(k).normal(0, 0.1, (int((3.2 * k + 1.7) * rate), channels))
        soundfile.write(folder / ("more" if k % 2 else "") / f"{k}.{suffix}", noise, rate)
    return folder


def write_ramps(folder: Path, tracks: int = 10) -> list[Path]:
    """Tracks of 9 to 15 s whose samples say where they are (see `RAMP`)."""
    folder.mkdir(parents=True)
    paths = []
    for k in range(tracks):
        ramp = np.arange((9 + k % 7) * RATE, dtype=np.float32) / RAMP
        paths.append(folder / f"{k}.wav")
        soundfile.write(paths[-1], ramp, RATE, subtype="FLOAT")
    return paths


def write_labelled(folder: Path) -> Path:
    """A table of 40 tracks of 2 s with tags that their sound tells only in part."""
    folder.mkdir(parents=True)
    time = np.arange(2 * RATE) / RATE
    lines = [["path", "tags", "split"]]
    for split, count in {"train": 16, "validation": 8, "test": 16}.items():
        for k in range(count):
            rng = np.random.default_rng([k, count, len(split)])
            high, loud = k % 2, (k // 2) % 2
            pitch = (500 if high else 350) * rng.uniform(0.5, 2)
            loudness = 0.1 * (3 if loud else 1) * rng.uniform(0.3, 3)
            sound = loudness * np.sin(2 * np.pi * pitch * time)
            noise = rng.normal(0, 0.02, len(time))
            soundfile.write(folder / f"{split}{k}.wav", np.clip(sound + noise, -1, 1), RATE)
            tags = ["high" if high else "low"] + ["loud"] * loud
            lines.append([f"{split}{k}.wav", "|".join(tags), split])
    with (folder / "tags.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder / "tags.csv"


def write_playlists(path: Path, tracks: int = 200, playlists: int = 160) -> list[str]:
    """A table of playlists, each drawn mostly from one of four scenes; returns the tracks' ids."""
    rng = np.random.default_rng(0)
    ids = [f"album {k // 10}/{k:03d}.flac" for k in range(tracks)]
    lines = [["playlist", "position", "track", "artist", "album", "genre"]]
    weight = 1 / np.sqrt(1 + rng.permutation(tracks))
    for p in range(playlists):
        chance = weight * np.where(np.arange(tracks) % 4 == p % 4, 6.0, 1.0)
        size = int(rng.integers(40, 61))
        for position, k in enumerate(rng.choice(tracks, size, False, chance / chance.sum())):
            row = [f"p{p}", position, ids[k], f"artist {k // 5}", f"album {k // 10}", GENRES[k % 4]]
            lines.append(row)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return ids


def track_features(tracks: int, dimensions: int) -> np.ndarray:
    """(tracks, dimensions) float32 in 0..1, near to each other within a scene."""
    rng = np.random.default_rng(1)
    scenes = rng.normal(size=(4, dimensions))
    values = scenes[np.arange(tracks) % 4] + 0.7 * rng.normal(size=(tracks, dimensions))
    return (1 / (1 + np.exp(-values))).astype(np.float32)
