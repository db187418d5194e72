"""Features of a data set's tracks, computed once and cached in feature stores."""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_audio.io import log
from ssl_audio.io.atomic import atomic_file
from ssl_audio.io.cache import cache_folder
from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.io.lock import Busy
from ssl_audio.io.progress import with_progress
from ssl_audio.models.extraction import extract
from ssl_audio.probing.encoders import TrackEncoder
from ssl_audio.stores.columns import Row
from ssl_audio.stores.feature_store import read_aligned, read_ids, read_segments, read_tables
from ssl_audio.stores.writer import Store

FORMAT = 2
ROW_GROUP = 256  # tracks: the most that an interrupted run computes again


@dataclass(frozen=True)
class TrackFeatures:
    """The features of a list of tracks.

    Attributes:
        means: (tracks, dimensions) float32, mean over a track's segments; NaN where the track
            could not be read.
        segments: (all segments, dimensions) float32, mapped from disk; None if not requested.
        starts, ends: (tracks,) rows of `segments` between which a track's segments lie; None if not
            requested.
    """

    means: np.ndarray
    segments: np.ndarray | None
    starts: np.ndarray | None
    ends: np.ndarray | None


def track_features(
    encoder: TrackEncoder,
    ids: Sequence[str],
    paths: Sequence[Path],
    keep_segments: bool = False,
    cache: Path | None = None,
    workers: int | None = None,
) -> TrackFeatures:
    """The features of tracks, read from the cache as far as they are there.

    The cache is a feature store for each encoder key and list of tracks with their sizes. An
    interrupted run is resumed; tracks that could not be read are tried again.

    Args:
        encoder: used from several threads.
        ids, paths: the tracks.
        keep_segments: keep the features of each segment too.
        cache: folder; None is the user's cache folder.
        workers: tracks at a time; None is the number of processors.

    Raises:
        SslAudioError: no track can be read, or the cache cannot be written.
    """
    path = _store_path(cache, encoder.key, ids, paths, keep_segments)
    if not _cached(path).issuperset(ids):
        with _opened(path, encoder, keep_segments) as store:
            _compute(store, encoder, dict(zip(ids, paths, strict=True)), workers)
    means, present = read_aligned(path, ids)
    means[~present] = np.nan
    if not keep_segments:
        return TrackFeatures(means, None, None, None)
    return TrackFeatures(means, *_mapped_segments(path, ids, means))


def _store_path(
    cache: Path | None, key: str, ids: Sequence[str], paths: Sequence[Path], keep_segments: bool
) -> Path:
    digest = hashlib.sha256(json.dumps([FORMAT, key, keep_segments]).encode())
    for track, path in zip(ids, paths, strict=True):
        size = path.stat().st_size if path.exists() else -1
        digest.update(json.dumps([track, size]).encode())
    return (cache or cache_folder() / "features") / f"{digest.hexdigest()[:24]}.parquet"


def _cached(path: Path) -> set[str]:
    """The tracks of a store; none of one that is damaged, which its writer notices by its parts."""
    try:
        return set(read_ids(path)) if path.exists() else set()
    except SslAudioError:
        return set()


def _opened(path: Path, encoder: TrackEncoder, keep_segments: bool) -> Store:
    """The store, as soon as no other process is writing it; what is no store is made anew."""
    about = {"kind": "features", "encoder": encoder.key}
    waiting = False
    while True:
        try:
            return Store(path, about, segments=keep_segments, group=ROW_GROUP)
        except Busy:
            if not waiting:
                say(f"{encoder.name}: waiting for another process that computes these features")
            waiting = True
            time.sleep(0.5)
        except SslAudioError as error:
            if not path.exists():
                raise
            warn(f"{error}: its features are computed again")
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _compute(
    store: Store, encoder: TrackEncoder, tracks: Mapping[str, Path], workers: int | None
) -> None:
    """Add the missing tracks to the store and close it; unreadable ones are left out."""
    todo = {track: path for track, path in tracks.items() if track not in store.records}
    results = extract(list(todo.values()), encoder.features, encoder.sample_rate, workers)
    errors = []
    for track, found in zip(todo, with_progress(results, encoder.name, len(todo)), strict=True):
        if isinstance(found, AudioError):
            errors.append(found)
            log.event("failure", id=track, reason=str(found))
        else:
            store.add(_row(track, found, store.segments))
    if len(errors) == len(tracks):
        raise SslAudioError(f"none of {len(tracks)} tracks can be read; the first: {errors[0]}")
    if errors:
        warn(f"{encoder.name}: {len(errors)} tracks cannot be read; the first: {errors[0]}")
    store.close()


def _row(track: str, rows: np.ndarray, keep_segments: bool) -> Row:
    mean = rows.mean(0).astype(np.float32)
    segments = (rows, np.arange(len(rows))) if keep_segments else (None, None)
    return Row(track, "", 0.0, "", mean, *segments)


def _mapped_segments(
    store: Path, ids: Sequence[str], means: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All segments as one array mapped from disk, and the rows of each track in it.

    The array is made again where it is not that of the store: `means` are those of the tracks.
    """
    path = store.with_suffix(".npy")
    counts = {
        track: len(times)
        for table in read_tables(store, ["id", "times"])
        for track, times in zip(*(table[name].to_pylist() for name in ("id", "times")), strict=True)
    }
    ends = dict(zip(counts, np.cumsum(list(counts.values())), strict=True))
    last = np.array([ends.get(track, 0) for track in ids])
    first = last - np.array([counts.get(track, 0) for track in ids])
    shape = (sum(counts.values()), means.shape[1])
    old = path.exists() and path.stat().st_mtime_ns < store.stat().st_mtime_ns
    if path.exists() and not old and not _has_means(path, shape, first, last, means):
        warn(f"{path} is damaged: it is made again")
        old = True
    if old or not path.exists():
        with atomic_file(path) as temporary:
            whole = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
            for track, _, segments in read_segments(store):
                whole[ends[track] - len(segments) : ends[track]] = segments
            whole.flush()
    return np.load(path, mmap_mode="r"), first, last


def _has_means(
    path: Path, shape: tuple[int, int], first: np.ndarray, last: np.ndarray, means: np.ndarray
) -> bool:
    """True if a file is an array of this shape whose rows have these means, track by track."""
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    if mapped.shape != shape or mapped.dtype != np.float32:
        return False
    with np.errstate(all="ignore"):  # of damaged numbers
        return all(
            np.allclose(mapped[start:end].mean(0), mean, rtol=1e-3, atol=1e-3 * np.abs(mean).max())
            for start, end, mean in zip(first, last, means, strict=True)
            if end > start
        )
