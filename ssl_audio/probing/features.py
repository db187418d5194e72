"""Features of a dataset's tracks, computed once and kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.atomic import atomic_file, write_json
from ssl_audio.io.cache import cache_folder
from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.extraction import Extracted, Features, extract

FORMAT = 1
SEGMENTS = "segments.npy"
CHUNK = 256  # tracks a file: what a cut-off run loses at most


@dataclass(frozen=True)
class TrackFeatures:
    """The features of a list of tracks.

    Attributes:
        means: (tracks, dimensions) float32, mean over a track's segments; NaN where the track
            could not be read.
        segments: (segments of all tracks, dimensions) float32, mapped from disk; None unless asked
            for.
        offsets: (tracks + 1,) where each track's segments start; None unless asked for.
        unreadable: track id to reason.
    """

    means: np.ndarray
    segments: np.ndarray | None
    offsets: np.ndarray | None
    unreadable: dict[str, str]


def track_features(
    features: Features,
    key: str,
    ids: Sequence[str],
    paths: Sequence[Path],
    keep_segments: bool = False,
    cache: Path | None = None,
    workers: int | None = None,
    name: str = "features",
) -> TrackFeatures:
    """The features of tracks, from the cache where they are there, else computed and kept.

    Kept by a hash of `key` and of the tracks' ids and sizes: other weights, another front end or
    another file list never meet what is kept. Written by chunks, each whole or not there, so that a
    run that was cut off goes on with the next chunk.

    Args:
        features: a waveform's blocks to its segments' features.
        key: names `features` and all that decides what it gives (a hash of weights, say).
        ids, paths: the tracks.
        keep_segments: keep each segment's features too, on disk.
        cache: folder; None is the user's cache folder.
        workers: tracks at a time; None is the number of processors.
        name: for the progress bar.

    Raises:
        SslAudioError: no track can be read.
    """
    folder = _folder(cache, key, ids, paths, keep_segments)
    todo = [k for k in range(0, len(ids), CHUNK) if not _is_whole(folder / _chunk_name(k))]
    if todo:
        (folder / SEGMENTS).unlink(missing_ok=True)  # it was made of the chunks
        _compute(folder, todo, features, ids, paths, keep_segments, workers, name)
    return _assemble(folder, ids, keep_segments)


def _folder(
    cache: Path | None, key: str, ids: Sequence[str], paths: Sequence[Path], keep_segments: bool
) -> Path:
    digest = hashlib.sha256(json.dumps([FORMAT, key, keep_segments]).encode())
    for track, path in zip(ids, paths, strict=True):
        size = path.stat().st_size if path.exists() else -1
        digest.update(json.dumps([track, size]).encode())
    folder = (cache or cache_folder() / "features") / digest.hexdigest()[:24]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SslAudioError(f"cache={folder}: {error.strerror}") from error
    return folder


def _chunk_name(first: int) -> str:
    return f"{first:08d}.npz"


def _is_whole(path: Path) -> bool:
    """Whether a chunk can be read, all of it; a damaged one is made again.

    So is one with tracks that could not be read: what was missing may be there by now.
    """
    if not path.exists():
        return False
    try:
        with np.load(path, allow_pickle=False) as chunk:
            arrays = {name: chunk[name] for name in ("means", "segments", "counts", "reasons")}
        return not any(arrays["reasons"])
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error):
        warn(f"{path} is damaged: its features are computed again")
        return False


def _compute(
    folder: Path,
    todo: Sequence[int],
    features: Features,
    ids: Sequence[str],
    paths: Sequence[Path],
    keep_segments: bool,
    workers: int | None,
    name: str,
) -> None:
    if len(todo) * CHUNK < len(ids):
        say(f"{name}: going on, {len(todo)} of {-(-len(ids) // CHUNK)} parts are missing")
    chosen = [paths[i] for first in todo for i in range(first, min(first + CHUNK, len(ids)))]
    results = _with_progress(extract(chosen, features, workers), len(chosen), name)
    for first in todo:
        count = min(CHUNK, len(ids) - first)
        chunk = [next(results) for _ in range(count)]
        _save_chunk(folder / _chunk_name(first), chunk, keep_segments)
    # the bar's last step, and the end of the pool
    for _ in results:
        raise AssertionError("more results than tracks")


def _with_progress(results: Iterator[Extracted], total: int, name: str) -> Iterator[Extracted]:
    from rich.console import Console
    from rich.progress import track

    yield from track(results, description=name, total=total, console=Console(stderr=True))


def _save_chunk(path: Path, results: Sequence[Extracted], keep_segments: bool) -> None:
    good = [r.rows for r in results if r.rows is not None]
    dimensions = good[0].shape[1] if good else 0
    nothing = np.full(dimensions, np.nan, np.float32)
    means = np.stack([nothing if r.rows is None else r.rows.mean(0) for r in results])
    empty = np.zeros((0, dimensions), np.float32)
    arrays = {
        "means": means.astype(np.float32),
        "segments": np.concatenate([empty, *good]) if keep_segments else empty,
        "counts": np.array([0 if r.rows is None else len(r.rows) for r in results]),
        "reasons": np.array(["" if r.error is None else str(r.error) for r in results]),
    }
    with atomic_file(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())  # or a power cut may leave the name without the content


def _assemble(folder: Path, ids: Sequence[str], keep_segments: bool) -> TrackFeatures:
    chunks = [np.load(folder / _chunk_name(k)) for k in range(0, len(ids), CHUNK)]
    dimensions = max(chunk["means"].shape[1] for chunk in chunks)
    reasons = np.concatenate([chunk["reasons"] for chunk in chunks])
    unreadable = {track: str(why) for track, why in zip(ids, reasons, strict=True) if why}
    if len(unreadable) == len(ids):
        first = next(iter(unreadable.values()))
        raise SslAudioError(f"none of {len(ids)} tracks can be read; the first: {first}")
    means = np.concatenate([_widened(chunk["means"], dimensions) for chunk in chunks])
    segments = offsets = None
    if keep_segments:
        counts = np.concatenate([chunk["counts"] for chunk in chunks])
        offsets = np.concatenate([[0], np.cumsum(counts)])
        segments = _mapped_segments(folder, chunks, int(offsets[-1]), dimensions)
    write_json(folder / "unreadable.json", unreadable)
    return TrackFeatures(means, segments, offsets, unreadable)


def _widened(means: np.ndarray, dimensions: int) -> np.ndarray:
    """A chunk of which nothing could be read knows no dimensions."""
    if means.shape[1] == dimensions:
        return means
    return np.full((len(means), dimensions), np.nan, np.float32)


def _mapped_segments(folder: Path, chunks: Sequence[Any], rows: int, dimensions: int) -> np.ndarray:
    """All segments as one array on disk, so that no more than a batch is ever in memory."""
    path = folder / SEGMENTS
    if not path.exists() or len(np.load(path, mmap_mode="r")) != rows:
        with atomic_file(path) as temporary:
            whole = np.lib.format.open_memmap(
                temporary, mode="w+", dtype=np.float32, shape=(rows, dimensions)
            )
            first = 0
            for chunk in chunks:
                part = chunk["segments"]
                if len(part):
                    whole[first : first + len(part)] = part
                first += len(part)
            whole.flush()
    return np.load(path, mmap_mode="r")
