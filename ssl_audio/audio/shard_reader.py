"""Tracks in shards: plain int16 files, mapped into memory, from which a crop is a copy.

Threads and forks share mapped memory safely, so shards stay open.
"""

import os
import re
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.audio.container import UNKNOWN, Reader
from ssl_audio.io.errors import AudioError, first_line
from ssl_audio.io.files import AnyPath

FULL_SCALE = 32_767  # of a shard's int16; -1 and 1 are both whole steps
PLACE = re.compile(r"(.*shard-\d+\.npy)#(\d+):(\d+)", re.DOTALL)
_OPEN_SHARDS = 256  # each keeps a file descriptor, of which a process often has 1024
_BLOCK = 1 << 17  # samples


def place(shard: AnyPath, start: int, samples: int) -> str:
    """Name a track in a shard; `decode` reads such a name like a path.

    Args:
        shard: `shard-NUMBER.npy`, 1-d int16 at `SAMPLE_RATE`.
        start: of the track, samples.
        samples: of the track.
    """
    return f"{os.fspath(shard)}#{start}:{samples}"


class ShardReader(Reader):
    """A track in a shard: nothing is decoded."""

    rate, channels, layout = SAMPLE_RATE, 1, UNKNOWN

    def __init__(self, shard: str, start: int, samples: int) -> None:
        try:
            status = os.stat(shard)
            # a shard that was replaced or cut since it was mapped is mapped again
            mapped = _mapped(shard, status.st_size, status.st_mtime_ns)
        except FileNotFoundError as error:
            raise AudioError(shard, "missing", "no such shard: prepare it again") from error
        except (OSError, ValueError, EOFError) as error:
            raise AudioError(shard, "unreadable", first_line(error)) from error
        if mapped.dtype != np.int16 or mapped.ndim != 1 or start + samples > len(mapped):
            detail = f"{mapped.dtype} {mapped.shape} does not hold {start}:{start + samples}"
            raise AudioError(shard, "unreadable", detail)
        self._samples = mapped[start : start + samples]
        self.frames: int | None = samples

    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]:
        end = len(self._samples) if count is None else min(start + count, len(self._samples))
        for first in range(start, end, _BLOCK):
            part = self._samples[first : min(first + _BLOCK, end)]
            block = part.astype(np.float32)
            block /= FULL_SCALE
            yield block


@lru_cache(_OPEN_SHARDS)
def _mapped(shard: str, size: int, mtime_ns: int) -> np.ndarray:
    """Map a shard; size and time are part of the key, to tell its versions apart."""
    # as a plain array: slicing a memmap is ten times slower
    return np.asarray(np.load(shard, mmap_mode="r", allow_pickle=False))
