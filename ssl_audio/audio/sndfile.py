"""libsndfile (through `soundfile`): wav, flac, ogg, opus, mp3 and others, whatever the file's name.

Each read opens the file and closes it again: a libsndfile handle shared by threads can crash, and
one carried across a fork shares its position.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from ssl_audio.audio.container import UNKNOWN, Layout, Part, Reader, open_part

# Over all channels: 512 KiB of float32, which stay in a processor's cache while they are decoded,
# mixed and resampled
BLOCK_SAMPLES = 1 << 17
# s decoded before a place in an mp3. A frame's bits may begin up to 511 bytes back (255 in MPEG-2);
# right after a seek those are missing, and the frame is silent: for up to 24 frames of 24 ms at
# 8 kbit/s, the lowest bit rate.
_MP3_LEAD_IN = 1.0
_UNKNOWN_LENGTH = 1 << 40  # frames; libsndfile gives 2^63 - 1 where a header leaves it open


class _SoundFile(soundfile.SoundFile):
    """A file that is read without seeking after each read.

    soundfile seeks to the end of every read, which in an mp3 drops the bits that the next frames
    depend on; it does not do so for files that cannot seek.
    """

    def seekable(self) -> bool:
        return False


class SoundFileReader(Reader):
    """A file that libsndfile opens, or one of its parts."""

    def __init__(self, path: Path, layout: Layout = UNKNOWN, part: Part | None = None) -> None:
        self._path, self._part, self.layout = path, part, layout
        self._file = self._open()
        if self._file.format == "RAW":  # recognised by its suffix alone, whatever the content
            self._file.close()
            raise TypeError("headerless audio")
        self.rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.vorbis = self._file.subtype == "VORBIS"
        self._lead_in = round(_MP3_LEAD_IN * self.rate) if self._file.format == "MP3" else 0
        frames = int(self._file.frames)
        self.frames: int | None = frames if 0 <= frames < _UNKNOWN_LENGTH else None

    def _open(self) -> _SoundFile:
        if self._part is not None:
            return _SoundFile(open_part(os.fspath(self._path), self._part))
        # as bytes, since a name need not be UTF-8; on Windows names are text
        return _SoundFile(os.fsencode(self._path) if os.name == "posix" else str(self._path))

    def close(self) -> None:
        self._file.close()

    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]:
        if self.frames is not None:
            left = self.frames - start
            count = left if count is None else min(count, left)
            if count <= 0:
                return
        begin = max(0, start - self._lead_in)
        try:
            if begin:
                self._file.seek(begin)
        except soundfile.SoundFileError:
            # a flac with damage further on cannot seek, though it decodes up to the damage
            self._file.close()
            self._file = self._open()
            begin = 0
        if sum(len(block) for block in self._decode(start - begin)) == start - begin:
            yield from self._decode(count)

    def _decode(self, count: int | None) -> Iterator[np.ndarray]:
        size = block_frames(self.channels)
        if count is not None:
            size = min(size, count)
        block = np.empty((size, self.channels), np.float32)
        while count is None or count > 0:
            requested = size if count is None else min(size, count)
            got = self._block(block[:requested])
            if len(got):
                yield mixed_down(got)
            if len(got) < requested:
                return
            count = None if count is None else count - requested

    def _block(self, block: np.ndarray) -> np.ndarray:
        """Decode into a block (frames, channels); returns the part that was filled, shorter at the
        end or at damage."""
        block.fill(np.nan)
        try:
            return self._file.read(len(block), dtype="float32", always_2d=True, out=block)
        except soundfile.SoundFileError:
            # the error does not say how much was decoded; frames still NaN were not
            undecoded = np.isnan(block).any(axis=1)
            return block[: int(undecoded.argmax())] if undecoded.any() else block


class ChainReader(Reader):
    """Files that were joined, decoded one after the other, up to one of another sample rate."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._parts: list[tuple[Part, int]] = []
        self._path, self.layout = path, layout
        for part in layout.parts:
            with SoundFileReader(path, layout, part) as reader:
                if not self._parts:
                    self.rate, self.channels = reader.rate, reader.channels
                elif reader.rate != self.rate:
                    self.layout = replace(layout, fault="its sample rate changes")
                    break
                self._parts.append((part, reader.frames or 0))
        self.frames: int | None = sum(frames for _, frames in self._parts)

    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]:
        for part, frames in self._parts:
            first = min(start, frames)
            left = frames - first if count is None else min(count, frames - first)
            start -= first
            if left:
                with SoundFileReader(self._path, self.layout, part) as reader:
                    for block in reader.blocks(first, left):
                        left -= len(block)
                        count = None if count is None else count - len(block)
                        yield block
            if left or count == 0:  # what follows damage would not be where it belongs
                return


def block_frames(channels: int) -> int:
    return max(1, BLOCK_SAMPLES // channels)


def mixed_down(frames: np.ndarray) -> np.ndarray:
    """Average the channels: (frames, channels) to (frames,)."""
    mono = frames[:, 0].copy()
    with np.errstate(all="ignore"):  # infinite samples are refused later, by file name
        for channel in range(1, frames.shape[1]):  # ten times as fast as a mean over a short axis
            mono += frames[:, channel]
        mono /= frames.shape[1]
    return mono
