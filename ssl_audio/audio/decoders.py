"""Decoders behind one small protocol: libsndfile, FFmpeg through torchcodec, and shards.

libsndfile (through `soundfile`) reads wav, flac, ogg, opus and mp3, whatever the file's name;
`torchcodec`, which is optional and needs FFmpeg, reads what libsndfile cannot open. Each read
opens the file and closes it again: a libsndfile handle shared by threads can crash, and one carried
across a fork shares its position.
"""

from __future__ import annotations

import importlib
import math
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile

from ssl_audio.audio import ogg
from ssl_audio.audio.shard_reader import PLACE, ShardReader
from ssl_audio.io.errors import AudioError, first_line
from ssl_audio.io.files import AnyPath

_INSTALL = 'pip install "ssl_audio[codec]"'
# Over all channels: 512 KiB of float32, which stay in a processor's cache while they are decoded,
# mixed and resampled
BLOCK_SAMPLES = 1 << 17
# s decoded before a place in an mp3. A frame's bits may begin up to 511 bytes back (255 in MPEG-2);
# right after a seek those are missing, and the frame is silent: for up to 24 frames of 24 ms at
# 8 kbit/s, the lowest bit rate.
_MP3_LEAD_IN = 1.0
_UNKNOWN_LENGTH = 1 << 40  # frames; libsndfile gives 2^63 - 1 where a header leaves it open
_MIN_RATE, _MAX_RATE = 1_000, 768_000  # Hz; beyond them a header is damaged
# Over all channels, 6 minutes of stereo: FFmpeg decodes a file in one go, and torchcodec holds it
# twice, up to 256 MiB for each thread.
_FFMPEG_SAMPLES = 1 << 25
_SAME = 1e-5  # max difference between two decoders' samples
# libsndfile recognises a file by its first bytes: if it fails to open one of these, it is damaged
_SNDFILE_MAGIC = (b"RIFF", b"RF64", b"RIFX", b"fLaC", b"OggS", b"ID3", b"FORM", b"caff")


class Reader(Protocol):
    """An open file. `blocks` yields float32 mono (samples,) and ends early where the file does."""

    rate: int
    channels: int
    frames: int | None  # by the header; None where it does not say

    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]: ...

    def __enter__(self) -> Reader: ...

    def __exit__(self, *_: object) -> None: ...


def open_audio(path: AnyPath) -> Reader:
    """Open a file, or a place in a shard, for reading at any position."""
    if found := PLACE.fullmatch(os.fspath(path)):
        return ShardReader(found[1], int(found[2]), int(found[3]))
    path = Path(path)
    size = _file_size(path)
    if size == 0:
        raise AudioError(path, "empty", "0 bytes")
    try:
        reader: Reader = SoundFileReader(path)
    except (soundfile.SoundFileError, TypeError, OSError) as error:
        # TypeError: soundfile requires a format for files named .raw
        reader = _open_with_codec(path, error)
    if not _MIN_RATE <= reader.rate <= _MAX_RATE or reader.channels < 1:
        reader.__exit__()
        detail = f"its header says {reader.rate} Hz and {reader.channels} channels"
        raise AudioError(path, "unreadable", detail)
    return reader


def open_whole(path: AnyPath) -> Reader:
    """Open a file that will be read from end to end."""
    reader = open_audio(path)
    if isinstance(reader, SoundFileReader) and reader.vorbis and reader.frames:
        # do not import torch, which takes a second and 600 MiB, into a process that only decodes
        decoder = _vorbis_decoder() if "torch" in sys.modules else None
        if decoder is not None and reader.frames * reader.channels <= _FFMPEG_SAMPLES:
            return VorbisReader(Path(path), reader, decoder)
    return reader


def _file_size(path: Path) -> int:
    """The size of a regular file; opening a named pipe would block for ever."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AudioError(path, "missing", "no such file") from error
    except (OSError, ValueError) as error:
        raise AudioError(path, "unreadable", str(error)) from error
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise AudioError(path, "unreadable", what)
    return status.st_size


class _SoundFile(soundfile.SoundFile):
    """A file that is read without seeking after each read.

    soundfile seeks to the end of every read, which in an mp3 drops the bits that the next frames
    depend on; it does not do so for files that cannot seek.
    """

    def seekable(self) -> bool:
        return False


class SoundFileReader:
    """A file that libsndfile opens."""

    def __init__(self, path: Path) -> None:
        # as bytes, since a name need not be UTF-8; on Windows names are text
        self._name = os.fsencode(path) if os.name == "posix" else str(path)
        self._file = _SoundFile(self._name)
        if self._file.format == "RAW":  # recognised by its suffix alone, whatever the content
            self._file.close()
            raise TypeError("headerless audio")
        self.rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.vorbis = self._file.subtype == "VORBIS"
        self._lead_in = round(_MP3_LEAD_IN * self.rate) if self._file.format == "MP3" else 0
        frames = int(self._file.frames)
        self.frames: int | None = frames if 0 <= frames < _UNKNOWN_LENGTH else None

    def __enter__(self) -> SoundFileReader:
        return self

    def __exit__(self, *_: object) -> None:
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
            self._file = _SoundFile(self._name)
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


def _open_with_codec(path: Path, cause: Exception) -> Reader:
    """Open a file that libsndfile cannot open, or report what is missing for it."""
    try:
        decoder = torchcodec_decoder()
    except TorchcodecMissing as missing:
        if _has_sndfile_magic(path):
            raise AudioError(path, "unreadable", f"libsndfile: {first_line(cause)}") from cause
        raise AudioError(path, "unsupported", str(missing)) from missing
    return TorchcodecReader(path, decoder)


class TorchcodecMissing(Exception):
    """torchcodec, or FFmpeg, which it loads, is not installed."""


def torchcodec_decoder() -> Any:
    """Import torchcodec's decoder on first use: it imports torch, and most files need neither."""
    try:
        return importlib.import_module("torchcodec.decoders").AudioDecoder
    except ImportError as error:
        if not (error.name or "").startswith("torchcodec"):
            raise TorchcodecMissing(_codec_broken(error)) from error
        detail = "libsndfile cannot open it and torchcodec is missing"
        raise TorchcodecMissing(f"{detail}: {_INSTALL}; it needs FFmpeg as well") from error
    except (RuntimeError, OSError) as error:
        raise TorchcodecMissing(_codec_broken(error)) from error


def _codec_broken(error: Exception) -> str:
    if shutil.which("ffmpeg") is None:
        return (
            "libsndfile cannot open it and FFmpeg, which torchcodec needs, is missing: install it "
            f"(apt install ffmpeg, brew install ffmpeg, conda install ffmpeg) beside {_INSTALL}"
        )
    return (
        f"libsndfile cannot open it and torchcodec does not load ({first_line(error)}): "
        f"{_INSTALL} gives the one that fits this torch; FFmpeg must have its shared libraries"
    )


def _has_sndfile_magic(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4).startswith(_SNDFILE_MAGIC)


class TorchcodecReader:
    """A file that FFmpeg opens. torchcodec always decodes from the start of the file."""

    def __init__(self, path: Path, decoder: Any) -> None:
        self._path = path
        try:
            self._decoder = decoder(path)
            found = self._decoder.metadata
            self.rate, self.channels = int(found.sample_rate or 0), int(found.num_channels or 0)
            length = found.duration_seconds
        except Exception as error:  # C++ errors of the library have several types
            raise AudioError(path, "unreadable", f"FFmpeg: {_short(error)}") from error
        known = length is not None and math.isfinite(length) and length >= 0
        self.frames: int | None = round(length * self.rate) if known else None

    def __enter__(self) -> TorchcodecReader:
        return self

    def __exit__(self, *_: object) -> None:
        del self._decoder

    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]:
        begin = start / self.rate
        # no end to read to the end: a header's length may be estimated from the bit rate
        end = None if count is None else (start + count) / self.rate
        try:
            found = self._decoder.get_samples_played_in_range(begin, end)
        except Exception:  # past the end, or damage: the caller sees that samples are missing
            return
        samples = mixed_down(found.data.numpy().T)
        gap = round((found.pts_seconds - begin) * self.rate)
        if 0 < gap <= self.rate:  # the first packet of some containers starts late
            samples = np.concatenate([np.zeros(gap, np.float32), samples])
        if len(samples):
            yield samples[:count]


def _short(error: Exception) -> str:
    """FFmpeg's message without the position in its source code."""
    return first_line(error).rpartition(".cpp:")[2].lstrip("0123456789, ") or "cannot open it"


class VorbisReader:
    """An Ogg Vorbis file decoded from end to end by FFmpeg, in three fifths of libsndfile's time.

    FFmpeg ignores checksums, and starts a file that was cut out of a longer one too late. So the
    checksums of all pages are verified and the first block is compared with libsndfile's; where
    either fails, libsndfile decodes the file. Both give the same samples to 5e-7.
    """

    def __init__(self, path: Path, reader: SoundFileReader, decoder: Any) -> None:
        self._path, self._reader, self._decoder = path, reader, decoder
        self.rate, self.channels, self.frames = reader.rate, reader.channels, reader.frames

    def __enter__(self) -> VorbisReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.__exit__()

    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]:
        """Blocks of the whole file."""
        found = self._decoded()
        if found is None:
            with SoundFileReader(self._path) as reader:  # the first may have been read from
                yield from reader.blocks(start, count)
            return
        size = block_frames(self.channels)
        for first in range(0, len(found), size):
            yield mixed_down(found[first : first + size])

    def _decoded(self) -> np.ndarray | None:
        """(frames, channels), or None where libsndfile has to decode the file."""
        try:
            if not ogg.is_whole(self._path):
                return None
            # absolute: FFmpeg may take a relative name for a protocol
            found = self._decoder(self._path.absolute()).get_all_samples().data.numpy().T
        except Exception:  # C++ errors of the library have several types
            return None
        return found if self._matches_libsndfile(found) else None

    def _matches_libsndfile(self, found: np.ndarray) -> bool:
        """Compare the first block; a silent one cannot show a shift."""
        if found.shape != (self.frames, self.channels):
            return False
        first = found[: block_frames(self.channels)]
        expected = np.empty_like(first, order="C")
        if len(self._reader._block(expected)) < len(first):
            return False
        mono = mixed_down(expected)  # decoders order more than two channels differently
        loud = float(np.abs(mono).max()) > 100 * _SAME
        return loud and float(np.abs(mixed_down(first) - mono).max()) <= _SAME


@cache
def _vorbis_decoder() -> Any:
    """torchcodec's decoder, or None."""
    try:
        return torchcodec_decoder()
    except Exception:  # a broken installation raises any type
        return None
