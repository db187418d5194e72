"""What all decoders share: the audio in a file by its container, parts of files, readers."""

import io
import os
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO, Self

import numpy as np

# s; less audio is not missed: two mp3 frames at 44.1 kHz are 52 ms, and headers round to a frame
TAIL = 0.064

Piece = bytes | tuple[int, int]  # of a part: bytes, or a span of the file, start and end
Part = tuple[Piece, ...]  # a stream that a decoder reads like a file of its own


@dataclass(frozen=True)
class Layout:
    """The audio in a file.

    Attributes:
        parts: streams to decode one after the other; none stands for the file as it is.
        frames: samples of a channel in the only part. A decoder that gives another number for the
            file as it is has to decode the part instead; None: it has to in any case.
        seconds: that the container promises; None where it does not say.
        fault: why a part of the file is not audio that can be decoded; "" without any.
    """

    parts: tuple[Part, ...] = ()
    frames: int | None = None
    seconds: float | None = None
    fault: str = ""


UNKNOWN = Layout()


class Reader(ABC):
    """An open file.

    Attributes:
        rate: Hz.
        channels: of the file.
        frames: that can be decoded if nothing is damaged; None where that is unknown.
        layout: what the container promises.
    """

    rate: int
    channels: int
    frames: int | None
    layout: Layout

    @abstractmethod
    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]:
        """float32 mono (samples,), `count` samples of them, or fewer where the file ends."""

    def close(self) -> None:  # noqa: B027 - most readers hold nothing open
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def after_tag(file: BinaryIO, place: int) -> int:
    """The place after an ID3v2 tag, or after several; `place` where there is none."""
    while True:
        head = read_at(file, place, 10)
        if len(head) < 10 or head[:3] != b"ID3" or max(head[6:10]) > 127:
            return place
        size = sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        place += 10 + size + (10 if head[5] & 16 else 0)  # with a footer


def read_at(file: BinaryIO, place: int, count: int) -> bytes:
    """Bytes of a file from a place on; fewer at its end."""
    file.seek(place)
    return file.read(count)


def open_part(path: str, part: Part) -> BinaryIO:
    """A part of a file, read like a file."""
    return io.BufferedReader(_Pieces(path, part), 1 << 16)


class _Pieces(io.RawIOBase):
    """Bytes and spans of a file, one after the other."""

    def __init__(self, path: str, part: Part) -> None:
        self._file = open(path, "rb", buffering=0)
        self._part = part
        sizes = [len(p) if isinstance(p, bytes) else p[1] - p[0] for p in part]
        self._starts = [0, *accumulate(sizes)]
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = (0, self._place, self._starts[-1])[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        number = bisect_right(self._starts, self._place) - 1
        if number >= len(self._part):
            return 0
        piece, inside = self._part[number], self._place - self._starts[number]
        count = min(len(buffer), self._starts[number + 1] - self._place)
        if isinstance(piece, bytes):
            found = piece[inside : inside + count]
        else:
            self._file.seek(piece[0] + inside)
            found = self._file.read(count)
        buffer[: len(found)] = found
        self._place += len(found)
        return len(found)

    def close(self) -> None:
        self._file.close()
        super().close()
