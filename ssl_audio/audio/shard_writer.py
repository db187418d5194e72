"""Writes decoded tracks into shards, one after the other."""

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from ssl_audio.audio import SAMPLE_RATE, isolated
from ssl_audio.audio.container import TAIL
from ssl_audio.audio.scan import Track
from ssl_audio.audio.shard_reader import FULL_SCALE
from ssl_audio.io.atomic import write_text
from ssl_audio.io.errors import AudioError
from ssl_audio.io.files import file_sha256

Entry = dict[str, Any]  # of a sidecar: the outcome of one file
SAMPLE_BYTES = 2
_HEADER = 128  # bytes; numpy leaves room in it for the length to grow


@dataclass(frozen=True)
class DecodedTrack:
    """One decoded file: samples (n,) int16, or an error."""

    track: Track
    samples: np.ndarray
    sha256: str = ""
    error: AudioError | None = None
    damage: str = ""  # what of it could not be decoded


def decode_track(track: Track) -> DecodedTrack:
    """Decode a whole file."""
    nothing = np.zeros(0, np.int16)
    try:
        digest = file_sha256(track.path)
        stream = isolated.Stream(track.path)
        blocks = (np.clip(block, -1.0, 1.0) * FULL_SCALE for block in stream)
        quantised = [np.rint(block).astype("<i2") for block in blocks]
        return DecodedTrack(track, np.concatenate(quantised), digest, damage=stream.note)
    except AudioError as error:
        return DecodedTrack(track, nothing, error=error)
    except (OSError, MemoryError) as error:
        detail = str(error) or "more samples than memory takes"
        return DecodedTrack(track, nothing, error=AudioError(track.path, "unreadable", detail))


class ShardWriter:
    """Fills shards one after the other; a track that does not fit starts the next shard.

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._finish()
        elif self._file is not None:  # interrupted: the next run starts this shard again
            self._file.close()
            part(self._path).unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self._folder / shard_name(self._number)

    def add(self, result: DecodedTrack) -> None:
        """Write a track, or note its error."""
        if result.error is not None:
            reason = {"reason": result.error.reason, "detail": result.error.detail}
            self._entries.append({"path": result.track.path, **reason})
            return
        if self._length and self._length + len(result.samples) > self._limit:
            self._finish()
        if self._file is None:
            self._file = open(part(self._path), "wb")
            self._file.write(bytes(_HEADER))
        self._file.write(result.samples.data)
        self._entries.append(_entry(result, self._length))
        self._length += len(result.samples)

    def _finish(self) -> None:
        """Write the header, rename the file, and write the sidecar, which marks it complete."""
        if not self._entries:
            return
        if self._file is not None:
            self._file.seek(0)
            self._file.write(_header(self._length))
            self._file.flush()
            os.fsync(self._file.fileno())  # so that the name never outlives the content
            self._file.close()
            self._file = None
            os.replace(part(self._path), self._path)
        note = {"identity": self._identity, "samples": self._length, "entries": self._entries}
        write_text(self._path.with_suffix(".json"), json.dumps(note, indent=1) + "\n")
        self.done.append(self._entries)
        self._number, self._length, self._entries = self._number + 1, 0, []


def shard_name(number: int) -> str:
    """The file name of a shard, counted from 0."""
    return f"shard-{number:05}.npy"


def _entry(result: DecodedTrack, start: int) -> Entry:
    duration, length = result.track.duration, len(result.samples)
    # the measured duration gives the same pairs as the file itself, unless decoding contradicts it
    if abs(length / SAMPLE_RATE - duration) > TAIL:
        duration = length / SAMPLE_RATE
    return {"path": result.track.path, "start": start, "samples": length, "duration": duration,
            "sha256": result.sha256, "damage": result.damage}  # fmt: skip


def _header(samples: int) -> bytes:
    header = io.BytesIO()
    described = {"descr": "<i2", "fortran_order": False, "shape": (samples,)}
    np.lib.format.write_array_header_1_0(header, described)
    content = header.getvalue()
    if len(content) != _HEADER:
        raise RuntimeError(f"this numpy writes a header of {len(content)} bytes, not {_HEADER}")
    return content


def part(path: Path) -> Path:
    """The name of a file while it is being written."""
    return path.with_name(path.name + ".part")


def has_length(shard: Path, samples: int) -> bool:
    """True if a shard has so many samples."""
    try:
        return shard.stat().st_size == _HEADER + SAMPLE_BYTES * samples
    except OSError:
        return False
