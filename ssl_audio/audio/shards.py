"""Decoded audio for training: 16 kHz mono int16 in large files, from which a crop is a copy.

A folder of shards holds

- `shard-00000.npy` and so on: plain 1-d int16 arrays, mapped into memory when read, of whole
  tracks one after the other;
- `shard-00000.json` and so on: what each was made of, so that an interrupted run goes on;
- `skipped.csv`: the files that could not be used, and why;
- `index.parquet`: a row a track. It is written last: a folder without it is unfinished.

A track is named by its place in a shard, which `ssl_audio.audio.files` reads like a file.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from ssl_audio.audio import files, manifest
from ssl_audio.audio.manifest import Manifest, Skipped, Source, Track
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.io.parallel import available_processors, in_order
from ssl_audio.io.progress import progress_bar

AnyPath = str | PathLike[str]
Entry = dict[str, Any]  # of a sidecar: what became of one file

INDEX = "index.parquet"
SAMPLE_BYTES = 2
SHARD_SECONDS = 2**30 / SAMPLE_BYTES / files.SAMPLE_RATE  # 1 GiB, 9.3 hours

_VERSION = 1
_LOOKAHEAD = 2  # tracks a thread may be ahead of the writer; one of 3 minutes takes 6 MB
_HEADER = 128  # bytes; numpy leaves room in it for the length to grow
_SLACK = 0.064  # s by which a decoded length may differ from the measured one, as in `files.read`
_OWN = re.compile(r"(shard-\d{5,})\.(npy|json)(\.part)?")
_COLUMNS = ("id", "shard", "start", "samples", "duration", "source", "sha256")


@dataclass(frozen=True)
class Shards:
    """A finished folder of shards.

    Attributes:
        folder: absolute.
        ids: of each track, its source's path below the folder that all of them share.
        tracks: each with its place as path, and its source's duration in seconds.
        skipped: how many files were left out.
        made: shards that were written by the call that returns this; 0 if it was there already.
    """

    folder: Path
    ids: list[str]
    tracks: list[Track]
    skipped: int
    made: int = 0

    @property
    def hours(self) -> float:
        """How much audio there is."""
        return sum(track.duration for track in self.tracks) / 3600


# --- reading -------------------------------------------------------------------------------------


def open_shards(folder: AnyPath) -> Shards:
    """Read the index of a finished folder of shards.

    Raises:
        SslAudioError: no such folder, an unfinished one, or an index that cannot be read.
    """
    return _opened(Path(os.path.abspath(folder)), 0)


def read_crop(
    shards: Shards | AnyPath, track: int, start: float = 0.0, duration: float | None = None
) -> np.ndarray:
    """Read a crop of a track.

    Args:
        shards: what `open_shards` gave, or a folder, whose index is then read for this crop alone.
        track: its row in the index, from 0.
        start: of the crop, seconds.
        duration: of the crop, seconds; None reads to the track's end.

    Returns:
        float32 (samples,) within [-1, 1], mono at 16 kHz, as `files.read` gives it of the source,
        within half a step of int16 (1/65534) where that is within [-1, 1] as well.

    Raises:
        AudioError: the shard is missing or damaged, or the crop lies beyond the track's end.
        SslAudioError: as `open_shards`, or no such track.
        ValueError: a negative start, or a duration that is not positive.
    """
    if not isinstance(shards, Shards):
        shards = open_shards(shards)
    if not 0 <= track < len(shards.tracks):
        raise SslAudioError(
            f"no track {track} in {shards.folder}: it holds 0 to {len(shards.tracks) - 1}"
        )
    return files.read(shards.tracks[track].path, start, duration)


def read_manifest(folder: AnyPath) -> Manifest:
    """List the tracks of a folder of shards as a scan would, measuring nothing anew.

    Raises:
        SslAudioError: as `open_shards`.
    """
    return Manifest(open_shards(folder).tracks, [])


def _opened(folder: Path, made: int) -> Shards:
    table = _read_index(folder)
    columns = table.to_pydict()
    rows = zip(*(columns[name] for name in _COLUMNS[1:5]), strict=True)
    tracks = [
        Track(files.place(folder / shard, start, samples), duration, size=samples * SAMPLE_BYTES)
        for shard, start, samples, duration in rows
    ]
    return Shards(folder, columns["id"], tracks, int(table.schema.metadata[b"skipped"]), made)


def _read_index(folder: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    if not folder.is_dir():
        raise SslAudioError(f"{folder} is no folder: make one with tools/prepare.py")
    if not (folder / INDEX).is_file():
        raise SslAudioError(
            f"{folder} has no {INDEX}: it is unfinished or holds no shards; run tools/prepare.py "
            "on it, which goes on where it was"
        )
    try:
        table = pyarrow.parquet.read_table(folder / INDEX)
    except (OSError, pyarrow.ArrowException) as error:
        raise SslAudioError(
            f"cannot read {folder / INDEX}: delete it and run tools/prepare.py again"
        ) from error
    note = table.schema.metadata or {}
    if set(_COLUMNS) - set(table.column_names) or note.get(b"version") != b"%d" % _VERSION:
        raise SslAudioError(f"{folder / INDEX} is no index of shards: give another folder")
    return table


# --- writing -------------------------------------------------------------------------------------


def write_shards(
    sources: Iterable[Source],
    folder: AnyPath,
    workers: int | None = None,
    shard_seconds: float = SHARD_SECONDS,
    cache: AnyPath | None = None,
    progress: bool = True,
) -> Shards:
    """Decode files into a folder of shards, or go on with one that was interrupted.

    Files are first scanned as they are for training on the files themselves, so that the tracks,
    their order and their durations, and with them a run's pairs, are the same. What is on disk in
    the end depends on the sources alone, not on interruptions or on the number of threads.

    Args:
        sources: what to decode; as `manifest.find_audio`, `read_list` or `read_table` list it.
        folder: where to; made if it is not there. A finished one of the same sources is left alone.
        workers: threads to decode on; None is one a processor.
        shard_seconds: a shard's length at most, though a longer track has one to itself.
        cache: folder of the remembered scan; None is the user's cache folder.
        progress: show a bar on standard error.

    Returns:
        The finished folder. Files that could not be used are counted there, and listed in its
        `skipped.csv` with the reason.

    Raises:
        SslAudioError: no usable audio, a folder of other sources, a disk that is full or cannot be
            written, or a setting that makes no sense.
    """
    threads, limit = _thread_count(workers), _sample_count(shard_seconds)
    sources, folder = list(sources), Path(os.path.abspath(folder))
    identity = _identity(sources, limit)
    if _is_finished(folder, identity):
        return open_shards(folder)
    found = manifest.scan(sources, cache=cache, workers=workers, progress=progress)
    if not found.tracks:
        raise SslAudioError(f"no usable audio: {found.summary()}. Give a folder or list with some")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = _write(found, folder, identity, threads, limit, progress)
    except OSError as error:
        raise SslAudioError(
            f"cannot write {folder}: {error.strerror}. Mend that or make room, and run the same "
            "again: shards that are whole are kept"
        ) from error
    return _opened(folder, made)


def _thread_count(workers: int | None) -> int:
    if workers is not None and workers < 1:
        raise SslAudioError(f"workers is {workers}: decoding takes at least 1")
    return workers or available_processors()


def _sample_count(shard_seconds: float) -> int:
    # not, so that NaN is refused as well
    if not 1.0 <= shard_seconds < float("inf"):
        raise SslAudioError(f"a shard of {shard_seconds:g} s: give at least 1 s")
    return int(shard_seconds * files.SAMPLE_RATE)


def _identity(sources: Sequence[Source], limit: int) -> str:
    """Tell one set of sources, at one version of each, from another (hex)."""
    digest = hashlib.sha256(f"{_VERSION} {limit}\n".encode())
    for source in sources:
        path = os.path.abspath(source.path)
        try:
            status = os.stat(path)
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        except (OSError, ValueError):
            stamp = "missing"
        digest.update(f"{path}\0{stamp}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _is_finished(folder: Path, identity: str) -> bool:
    """Say whether nothing is left to do.

    Raises:
        SslAudioError: the folder is finished, but of other sources.
    """
    if folder.exists() and not folder.is_dir():
        raise SslAudioError(f"{folder} is a file: give a folder to write to")
    if not (folder / INDEX).exists():
        return False
    table = _read_index(folder)
    if table.schema.metadata.get(b"identity") != identity.encode():
        raise SslAudioError(
            f"{folder} holds shards of other or since changed sources, or of another size: "
            "give another folder, or delete it"
        )
    ends: dict[str, int] = {}
    for row in table.select(["shard", "start", "samples"]).to_pylist():
        ends[row["shard"]] = row["start"] + row["samples"]  # rows are in order
    if all(_has_length(folder / shard, end) for shard, end in ends.items()):
        return True
    (folder / INDEX).unlink()  # a shard was lost: what is whole is kept, the rest made again
    return False


def _write(
    found: Manifest, folder: Path, identity: str, threads: int, limit: int, progress: bool
) -> int:
    """Write what is missing of a folder; returns how many shards that was."""
    shards = _whole_shards(folder, found.tracks, identity)
    kept, covered = len(shards), sum(len(entries) for entries in shards)
    rest = found.tracks[covered:]
    with (
        closing(in_order(rest, _decode, threads, _LOOKAHEAD)) as results,
        progress_bar("decoding audio", len(found.tracks), "files", covered, progress) as step,
        _Writer(folder, kept, limit, identity) as writer,
    ):
        for result in results:
            writer.add(result)
            step()
    shards += writer.done
    entries = [entry for shard in shards for entry in shard]
    skipped = [Skipped(e["path"], e["reason"], e["detail"]) for e in entries if "reason" in e]
    if len(skipped) == len(entries):
        failed = Manifest([], found.skipped + skipped)
        raise SslAudioError(f"no usable audio: {failed.summary()}. Give a folder or list with some")
    report = Manifest([], found.skipped + skipped)
    report.save_report(folder / "skipped.csv")
    _write_index(folder, shards, identity, len(report.skipped))
    return len(shards) - kept


# --- decoding ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Result:
    """What became of one file: samples (n,) int16, or an error."""

    track: Track
    samples: np.ndarray
    sha256: str = ""
    error: AudioError | None = None


def _decode(track: Track) -> _Result:
    nothing = np.zeros(0, np.int16)
    try:
        digest = files.sha256(track.path)
        blocks = [_quantised(block) for block in files.stream(track.path)]
        return _Result(track, np.concatenate(blocks), digest)
    except AudioError as error:
        return _Result(track, nothing, error=error)
    except (OSError, MemoryError) as error:
        detail = str(error) or "more samples than memory takes"
        return _Result(track, nothing, error=AudioError(track.path, "unreadable", detail))


def _quantised(waveform: np.ndarray) -> np.ndarray:
    """(samples,) float32 to (samples,) int16: clipped to [-1, 1], and to the nearest step."""
    return np.rint(np.clip(waveform, -1.0, 1.0) * files.FULL_SCALE).astype("<i2")


# --- the files of a folder -----------------------------------------------------------------------


class _Writer:
    """Fills shards one after the other: a track goes into the next where it does not fit.

    Attributes:
        done: the entries of each shard that has been finished.
    """

    def __init__(self, folder: Path, number: int, limit: int, identity: str) -> None:
        self._folder, self._number, self._limit = folder, number, limit
        self._identity = identity
        self._file: BinaryIO | None = None
        self._length = 0
        self._entries: list[Entry] = []
        self.done: list[list[Entry]] = []

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._finish()
        elif self._file is not None:  # interrupted: this shard is begun anew next time
            self._file.close()
            _part(self._path).unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self._folder / shard_name(self._number)

    def add(self, result: _Result) -> None:
        """Write a track, or note why it is not there."""
        if result.error is not None:
            reason = {"reason": result.error.reason, "detail": result.error.detail}
            self._entries.append({"path": result.track.path, **reason})
            return
        if self._length and self._length + len(result.samples) > self._limit:
            self._finish()
        if self._file is None:
            self._file = open(_part(self._path), "wb")
            self._file.write(bytes(_HEADER))
        self._file.write(result.samples.data)
        self._entries.append(_entry(result, self._length))
        self._length += len(result.samples)

    def _finish(self) -> None:
        """Give the shard its header and name, and then its sidecar, which says it is whole."""
        if not self._entries:
            return
        if self._file is not None:
            self._file.seek(0)
            self._file.write(_header(self._length))
            self._file.flush()
            os.fsync(self._file.fileno())  # so that the name never outlives the content
            self._file.close()
            self._file = None
            os.replace(_part(self._path), self._path)
        note = {"identity": self._identity, "samples": self._length, "entries": self._entries}
        _write_text(self._path.with_suffix(".json"), json.dumps(note, indent=1) + "\n")
        self.done.append(self._entries)
        self._number, self._length, self._entries = self._number + 1, 0, []


def shard_name(number: int) -> str:
    """The file name of a shard, counted from 0."""
    return f"shard-{number:05}.npy"


def _entry(result: _Result, start: int) -> Entry:
    duration, length = result.track.duration, len(result.samples)
    # the source's own duration draws the same pairs; one that decoding contradicts does not count
    if abs(length / files.SAMPLE_RATE - duration) > _SLACK:
        duration = length / files.SAMPLE_RATE
    return {
        "path": result.track.path,
        "start": start,
        "samples": length,
        "duration": duration,
        "sha256": result.sha256,
    }


def _header(samples: int) -> bytes:
    header = io.BytesIO()
    described = {"descr": "<i2", "fortran_order": False, "shape": (samples,)}
    np.lib.format.write_array_header_1_0(header, described)
    content = header.getvalue()
    if len(content) != _HEADER:
        raise RuntimeError(f"this numpy writes a header of {len(content)} bytes, not {_HEADER}")
    return content


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _write_text(path: Path, text: str) -> None:
    _part(path).write_text(text, encoding="utf-8")
    os.replace(_part(path), path)


def _has_length(shard: Path, samples: int) -> bool:
    try:
        return shard.stat().st_size == _HEADER + SAMPLE_BYTES * samples
    except OSError:
        return False


def _whole_shards(folder: Path, tracks: Sequence[Track], identity: str) -> list[list[Entry]]:
    """Return the entries of the first shards that are whole and made of these tracks.

    The others are removed: they are of other sources, or follow one that is.
    """
    kept: list[list[Entry]] = []
    covered = 0
    while entries := _sidecar(folder / shard_name(len(kept)), identity):
        planned = [track.path for track in tracks[covered : covered + len(entries)]]
        if [entry["path"] for entry in entries] != planned:
            break
        covered += len(entries)
        kept.append(entries)
    names = {shard_name(number) for number in range(len(kept))}
    for path in folder.iterdir():
        own = _OWN.fullmatch(path.name)
        if own and (own[3] or f"{own[1]}.npy" not in names):
            path.unlink()
    return kept


def _sidecar(shard: Path, identity: str) -> list[Entry]:
    """Read the entries of a shard; none where it is not whole, or of other sources."""
    try:
        note = json.loads(shard.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if note.get("identity") != identity:
        return []
    if note["samples"] and not _has_length(shard, note["samples"]):
        return []
    return note["entries"]


def _write_index(
    folder: Path, shards: Sequence[Sequence[Entry]], identity: str, skipped: int
) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [
        {**entry, "shard": shard_name(number)}
        for number, entries in enumerate(shards)
        for entry in entries
        if "reason" not in entry
    ]
    root = _common_folder([row["path"] for row in rows])
    text, whole, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    kinds = dict(zip(_COLUMNS, (text, text, whole, whole, real, text, text), strict=True))
    for row in rows:
        row["source"] = files.printable(row["path"])
        row["id"] = files.printable(
            row["path"].removeprefix(root).lstrip(os.sep).replace(os.sep, "/")
        )
    table = pyarrow.table(
        {name: pyarrow.array([row[name] for row in rows], kinds[name]) for name in _COLUMNS},
        metadata={
            "version": str(_VERSION),
            "sample_rate": str(files.SAMPLE_RATE),
            "identity": identity,
            "skipped": str(skipped),
        },
    )
    pyarrow.parquet.write_table(table, _part(folder / INDEX))
    os.replace(_part(folder / INDEX), folder / INDEX)


def _common_folder(paths: Sequence[str]) -> str:
    try:
        return os.path.commonpath([os.path.dirname(path) for path in paths])
    except ValueError:  # on several drives
        return ""
