"""Read any audio file as 16 kHz mono, decoding no more of it than is asked for.

libsndfile (through `soundfile`) reads wav, flac, ogg, opus and mp3, whatever the file is called;
`torchcodec`, which is optional and needs FFmpeg, reads what libsndfile cannot open and, where torch
is in use, undamaged Ogg Vorbis files from end to end, in three fifths of the time. Each read opens
the file and closes it again: a libsndfile handle shared by threads can crash, and one carried
across a fork shares its position.

A path may also be a place in a shard (`ssl_audio.audio.shards`), as `place` writes it; shards are
mapped into memory, which threads and forks share safely, and stay open.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
import soundfile
import soxr

from ssl_audio.audio import ogg
from ssl_audio.io.errors import AudioError, first_line

SAMPLE_RATE = 16_000
FULL_SCALE = 32_767  # of a shard's int16; -1 and 1 are both whole steps

AnyPath = str | PathLike[str]

_INSTALL = 'pip install "ssl_audio[codec]"'
_END_TOLERANCE = 0.064  # s; two mp3 frames at 44.1 kHz are 52 ms, and headers round to a frame
_MARGIN = 512  # input samples on either side, at no change of rate: twice soxr's HQ filter
# Over all channels: 512 KiB of float32, whatever a header claims. It stays in a processor's cache
# while it is decoded, mixed and resampled; one of 16 MiB takes a sixth longer.
_BLOCK_SAMPLES = 1 << 17
# s decoded ahead of a place in an mp3. A frame's bits may begin up to 511 bytes back (255 in
# MPEG-2), and right after a seek those are gone, and the frame is silence: for up to 24 frames of
# 24 ms at 8 kbit/s, the least there is.
_MP3_LEAD_IN = 1.0
_UNKNOWN_LENGTH = 1 << 40  # frames; libsndfile gives 2^63 - 1 where a header leaves it open
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000  # Hz; beyond them a header is damaged
_LARGEST = 1e6  # 16-bit integers stored as floats reach 3e4; a flipped exponent bit, 1e38
_SILENCE = 1e-4  # -80 dB of full scale
_PLACE = re.compile(r"(.*shard-\d+\.npy)#(\d+):(\d+)", re.DOTALL)
_OPEN_SHARDS = 256  # each keeps a file descriptor, of which a process often has 1024
# Over all channels, 6 minutes of stereo: FFmpeg decodes a file in one go, and torchcodec holds it
# twice, 256 MiB at most for each thread.
_FFMPEG_SAMPLES = 1 << 25
_SAME = 1e-5  # of two decoders' samples
_SPOTS, _SPOT = 3, 1.0  # how many places are looked at for sound, and how long each is, s
_WHOLE_FOR_SILENCE = 600.0  # s; of a longer silent-looking file more spots are read instead

# What libsndfile knows by its first bytes: failing to open such a file, it found it damaged.
_SNDFILE_MAGIC = (b"RIFF", b"RF64", b"RIFX", b"fLaC", b"OggS", b"ID3", b"FORM", b"caff")


@dataclass(frozen=True)
class AudioInfo:
    """What a file holds.

    Attributes:
        duration: seconds.
        sample_rate: of the file, Hz.
        channels: of the file.
    """

    duration: float
    sample_rate: int
    channels: int


def info(path: AnyPath) -> AudioInfo:
    """Say what a file's header promises; `examine` also checks that it is there.

    Raises:
        AudioError: missing, empty, unreadable or unsupported.
    """
    with _open(path) as reader:
        frames = reader.frames
        if frames is None:
            frames = sum(len(block) for block in reader.blocks(0, None))
        if frames == 0:
            raise AudioError(path, "empty", "no samples")
        return AudioInfo(frames / reader.rate, reader.rate, reader.channels)


def examine(path: AnyPath, check_silence: bool = True) -> AudioInfo:
    """Say what a file really holds: its end is read, and a few places are looked at for sound.

    A file that ends before its header says is given the length that can be read.

    Args:
        path: the file.
        check_silence: refuse a file whose samples all lie below 1e-4 (-80 dB).

    Raises:
        AudioError: missing, empty, unreadable, unsupported, truncated or silent.
    """
    found = info(path)
    length = _readable_frames(path, found)
    if length == 0:
        raise AudioError(path, "unreadable", "its header is whole, but nothing can be decoded")
    found = AudioInfo(length / found.sample_rate, found.sample_rate, found.channels)
    if check_silence and _is_silent(path, found.duration):
        raise AudioError(path, "silent", f"{found.duration:.1f} s below -80 dB")
    return found


def read(
    path: AnyPath,
    start: float = 0.0,
    duration: float | None = None,
    sample_rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """Read a crop of a file as mono, the mean of its channels.

    A crop equals the same crop of the whole file resampled: the resampler gets enough of what
    surrounds it. Files that go through torchcodec with timestamps in milliseconds (webm, wma) may
    come out some milliseconds off.

    Args:
        path: the file.
        start: of the crop, seconds.
        duration: of the crop, seconds; None reads to the end, wherever that is found to be.
        sample_rate: of the result, Hz.

    Returns:
        float32 (samples,), nominally within [-1, 1]; exactly `round(duration * sample_rate)` of
        them where `duration` is given. At the end of a file up to 64 ms are filled with zeros.

    Raises:
        AudioError: missing, empty, unreadable, unsupported, or truncated where more than 64 ms of
            the crop are not there.
        ValueError: a negative start, a duration that is not positive, or a rate below 1.
    """
    _check_crop(start, duration, sample_rate)
    whole = start == 0 and duration is None
    with _open_whole(path) if whole else _open(path) as reader:
        if reader.frames == 0:
            raise AudioError(path, "empty", "no samples")
        wanted = None if duration is None else round(duration * sample_rate)
        try:
            samples = _crop(reader, round(start * sample_rate), wanted, sample_rate)
        except MemoryError as error:
            raise AudioError(path, "unreadable", "more samples than memory takes") from error
    if wanted is None and not len(samples):
        raise AudioError(path, "truncated", f"nothing can be decoded from {start:.2f} s on")
    if wanted is not None and len(samples) < wanted:
        samples = _fill(path, samples, wanted, start, sample_rate)
    _check_values(path, samples)
    return samples


def stream(path: AnyPath, sample_rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
    """Read a whole file as mono in blocks, for files of any length in bounded memory.

    Args:
        path: the file.
        sample_rate: of the result, Hz.

    Yields:
        float32 (samples,), which joined are `read(path)`, to the last bit.

    Raises:
        AudioError: as `read`, when the block where it shows is reached.
    """
    with _open_whole(path) as reader:
        if reader.frames == 0:
            raise AudioError(path, "empty", "no samples")
        some = False
        blocks = reader.blocks(0, None)
        if reader.rate != sample_rate:
            blocks = resampled(blocks, reader.rate, sample_rate)
        for block in blocks:
            if len(block):
                some = True
                _check_values(path, block)
                yield block
    if not some:
        raise AudioError(path, "truncated", "nothing can be decoded from 0.00 s on")


def resampled(blocks: Iterable[np.ndarray], rate: int, sample_rate: int) -> Iterator[np.ndarray]:
    """Resample a mono waveform that is given in blocks.

    Args:
        blocks: float32 (samples,) each, at `rate` Hz.
        rate, sample_rate: of the blocks and of the result, Hz.

    Yields:
        float32 (samples,); the number of samples in all is the duration's at the new rate, rounded.
    """
    resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32")
    frames = given = 0
    for block in blocks:
        frames += len(block)
        result = resampler.resample_chunk(block)
        given += len(result)
        yield result
    rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    common = math.gcd(rate, sample_rate)
    yield rest[: max(0, round(frames * (sample_rate // common) / (rate // common)) - given)]


def _check_crop(start: float, duration: float | None, sample_rate: int) -> None:
    if not (math.isfinite(start) and start >= 0):
        raise ValueError(f"start is {start}: give seconds from 0")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"duration is {duration}: give seconds above 0")
    if sample_rate < 1:
        raise ValueError(f"sample_rate is {sample_rate}: give Hz above 0")


def _fill(
    path: AnyPath, samples: np.ndarray, wanted: int, start: float, sample_rate: int
) -> np.ndarray:
    missing = wanted - len(samples)
    if missing > _END_TOLERANCE * sample_rate or not len(samples):
        end = start + wanted / sample_rate
        detail = f"asked for {start:.2f} to {end:.2f} s, the last {missing / sample_rate:.2f} s"
        raise AudioError(path, "truncated", f"{detail} are not there")
    return np.concatenate([samples, np.zeros(missing, np.float32)])


def _check_values(path: AnyPath, samples: np.ndarray) -> None:
    # A NaN makes the maximum NaN, and NaN compares false.
    largest = max(float(samples.max()), -float(samples.min()))
    if not largest <= _LARGEST:
        raise AudioError(path, "unreadable", f"samples up to {largest:.3g}")


def _crop(reader: _Reader, first: int, wanted: int | None, sample_rate: int) -> np.ndarray:
    """Read output samples `first` to `first + wanted` at `sample_rate`; fewer at the file's end."""
    if reader.rate == sample_rate:
        return _joined(reader.blocks(first, wanted))
    common = math.gcd(reader.rate, sample_rate)
    up, down = sample_rate // common, reader.rate // common
    margin = math.ceil(_MARGIN * max(1.0, down / up))
    # Only at a multiple of `down` input samples do the output's and the input's grids meet.
    begin = max(0, first * down // up - margin)
    begin -= begin % down
    count = None if wanted is None else -(-(first + wanted) * down // up) + margin - begin
    source = _joined(reader.blocks(begin, count))
    if not len(source):
        return source
    # The resampler rounds its length as it likes; only what the input covers is counted.
    result = soxr.resample(source, reader.rate, sample_rate)[: round(len(source) * up / down)]
    skip = first - begin // down * up
    end = None if wanted is None else skip + wanted
    return np.ascontiguousarray(result[skip:end], dtype=np.float32)


def _joined(blocks: Iterator[np.ndarray]) -> np.ndarray:
    parts = list(blocks)
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.float32), *parts])


def _readable_frames(path: AnyPath, promised: AudioInfo) -> int:
    """Count the frames of a file, by its last half second where that is as long as promised."""
    frames = round(promised.duration * promised.sample_rate)
    with _open(path) as reader:
        if reader.frames is None:
            return frames  # `info` has counted them
        tail = min(frames, promised.sample_rate // 2)
        got = sum(len(block) for block in reader.blocks(frames - tail, tail))
        if tail - got <= _END_TOLERANCE * reader.rate:
            return frames - tail + got
    with _open(path) as reader:
        return sum(len(block) for block in reader.blocks(0, None))


def _is_silent(path: AnyPath, duration: float) -> bool:
    if _has_sound(path, duration, _SPOTS):
        return False
    if duration > _WHOLE_FOR_SILENCE:
        return not _has_sound(path, duration, 10 * _SPOTS)
    loudest = 0.0
    with _open(path) as reader:
        for block in reader.blocks(0, None):
            _check_values(path, block)
            loudest = float(np.abs(block).max())
            if loudest >= _SILENCE:
                return False
    return True


def _has_sound(path: AnyPath, duration: float, spots: int) -> bool:
    length = min(_SPOT, duration)
    for k in range(spots):
        start = (duration - length) * (k + 1) / (spots + 1)
        with _open(path) as reader:
            count = max(1, round(length * reader.rate))
            part = _joined(reader.blocks(round(start * reader.rate), count))
            if not len(part):
                raise AudioError(path, "unreadable", f"nothing can be decoded at {start:.1f} s")
            _check_values(path, part)
            if float(np.abs(part).max()) >= _SILENCE:
                return True
    return False


class _Reader(Protocol):
    """An open file; `blocks` yields float32 mono (samples,), ending early where the file does."""

    rate: int
    channels: int
    frames: int | None  # as promised; None where the header leaves it open

    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]: ...

    def __enter__(self) -> _Reader: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def _open(path: AnyPath) -> _Reader:
    if found := _PLACE.fullmatch(os.fspath(path)):
        return _ShardReader(found[1], int(found[2]), int(found[3]))
    path = Path(path)
    size = _file_size(path)
    if size == 0:
        raise AudioError(path, "empty", "0 bytes")
    try:
        reader: _Reader = _SoundFileReader(path)
    except (soundfile.SoundFileError, TypeError, OSError) as error:
        # TypeError: soundfile asks for the format of a file that is named .raw
        reader = _open_with_codec(path, error)
    if not _LOWEST_RATE <= reader.rate <= _HIGHEST_RATE or reader.channels < 1:
        reader.__exit__(None, None, None)
        detail = f"its header says {reader.rate} Hz and {reader.channels} channels"
        raise AudioError(path, "unreadable", detail)
    return reader


def _open_whole(path: AnyPath) -> _Reader:
    """Open a file that will be read from end to end."""
    reader = _open(path)
    if isinstance(reader, _SoundFileReader) and reader.vorbis and reader.frames:
        # not to import torch, for a second and 600 MiB, into a process that only reads
        decoder = _vorbis_decoder() if "torch" in sys.modules else None
        if decoder is not None and reader.frames * reader.channels <= _FFMPEG_SAMPLES:
            return _VorbisReader(Path(path), reader, decoder)
    return reader


def _file_size(path: Path) -> int:
    """Return a file's size, refusing what is no file: opening a named pipe would wait for ever."""
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
    """A file read in one go from wherever it was last told to seek.

    soundfile follows every read by a seek to where the read ended anyway, which in an mp3 drops
    the bits that the next frames depend on; it leaves that out for what cannot seek.
    """

    def seekable(self) -> bool:
        return False


class _SoundFileReader:
    """A file that libsndfile opens."""

    def __init__(self, path: Path) -> None:
        # As bytes, since a name need not be UTF-8; Windows has names that only text can give.
        self._name = os.fsencode(path) if os.name == "posix" else str(path)
        self._file = _SoundFile(self._name)
        if self._file.format == "RAW":  # by its suffix alone: any bytes would do
            self._file.close()
            raise TypeError("headerless audio")
        self.rate = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        self.vorbis = self._file.subtype == "VORBIS"
        self._lead_in = round(_MP3_LEAD_IN * self.rate) if self._file.format == "MP3" else 0
        frames = int(self._file.frames)
        self.frames: int | None = frames if 0 <= frames < _UNKNOWN_LENGTH else None

    def __enter__(self) -> _SoundFileReader:
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
            # Damaged further on, a flac refuses to seek, though it decodes up to the damage.
            self._file.close()
            self._file = _SoundFile(self._name)
            begin = 0
        if sum(len(block) for block in self._decode(start - begin)) == start - begin:
            yield from self._decode(count)

    def _decode(self, count: int | None) -> Iterator[np.ndarray]:
        size = _block_frames(self.channels)
        if count is not None:
            size = min(size, count)
        block = np.empty((size, self.channels), np.float32)
        while count is None or count > 0:
            wanted = size if count is None else min(size, count)
            got = self._block(block[:wanted])
            if len(got):
                yield mixed_down(got)
            if len(got) < wanted:
                return
            count = None if count is None else count - wanted

    def _block(self, block: np.ndarray) -> np.ndarray:
        """Decode into a block (frames, channels); what of it is filled: less at the end, or where
        damage is."""
        block.fill(np.nan)
        try:
            return self._file.read(len(block), dtype="float32", always_2d=True, out=block)
        except soundfile.SoundFileError:
            # The error hides how much was decoded before it; the NaNs are what was not.
            undecoded = np.isnan(block).any(axis=1)
            return block[: int(undecoded.argmax())] if undecoded.any() else block


def printable(name: str) -> str:
    """A name as text: it need not be UTF-8, and other bytes are written as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def sha256(path: AnyPath) -> str:
    """Of a file's bytes (hex).

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def place(shard: AnyPath, start: int, samples: int) -> str:
    """Name a track in a shard; every function here that takes a path takes it.

    Args:
        shard: `shard-NUMBER.npy`, 1-d int16 at `SAMPLE_RATE`.
        start: of the track, samples.
        samples: of the track.
    """
    return f"{os.fspath(shard)}#{start}:{samples}"


class _ShardReader:
    """A track in a shard: a copy out of memory, with nothing to decode."""

    rate, channels = SAMPLE_RATE, 1

    def __init__(self, shard: str, start: int, samples: int) -> None:
        try:
            status = os.stat(shard)
            # a shard that was replaced or cut since it was mapped is mapped anew
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

    def __enter__(self) -> _ShardReader:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]:
        end = len(self._samples) if count is None else min(start + count, len(self._samples))
        for first in range(start, end, _BLOCK_SAMPLES):
            part = self._samples[first : min(first + _BLOCK_SAMPLES, end)]
            block = part.astype(np.float32)
            block /= FULL_SCALE
            yield block


@lru_cache(_OPEN_SHARDS)
def _mapped(shard: str, size: int, mtime_ns: int) -> np.ndarray:
    """Map a shard; its size and time are only there to tell its versions apart."""
    # as a plain array: slices of a memmap are ten times as slow to make
    return np.asarray(np.load(shard, mmap_mode="r", allow_pickle=False))


def _block_frames(channels: int) -> int:
    return max(1, _BLOCK_SAMPLES // channels)


def mixed_down(frames: np.ndarray) -> np.ndarray:
    """Average the channels: (frames, channels) to (frames,)."""
    mono = frames[:, 0].copy()
    with np.errstate(all="ignore"):  # what is not finite is refused later, with the file's name
        for channel in range(1, frames.shape[1]):  # ten times as fast as a mean over a short axis
            mono += frames[:, channel]
        mono /= frames.shape[1]
    return mono


def _open_with_codec(path: Path, why: Exception) -> _Reader:
    """Open what libsndfile could not, or say what is missing for that."""
    try:
        decoder = _codec()
    except _CodecMissing as missing:
        if _known_to_soundfile(path):
            raise AudioError(path, "unreadable", f"libsndfile: {first_line(why)}") from why
        raise AudioError(path, "unsupported", str(missing)) from missing
    return _CodecReader(path, decoder)


class _CodecMissing(Exception):
    """torchcodec, or FFmpeg, which it loads, is not installed."""


def _codec() -> Any:
    """Import torchcodec's decoder, late: it imports torch, and most files need neither."""
    try:
        return importlib.import_module("torchcodec.decoders").AudioDecoder
    except ImportError as error:
        if not (error.name or "").startswith("torchcodec"):
            raise _CodecMissing(_codec_broken(error)) from error
        detail = "libsndfile cannot open it and torchcodec is missing"
        raise _CodecMissing(f"{detail}: {_INSTALL}; it needs FFmpeg as well") from error
    except (RuntimeError, OSError) as error:
        raise _CodecMissing(_codec_broken(error)) from error


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


def _known_to_soundfile(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4).startswith(_SNDFILE_MAGIC)


class _CodecReader:
    """A file that FFmpeg opens. torchcodec decodes from the file's start, whatever is asked for."""

    def __init__(self, path: Path, decoder: Any) -> None:
        self._path = path
        try:
            self._decoder = decoder(path)
            found = self._decoder.metadata
            self.rate, self.channels = int(found.sample_rate or 0), int(found.num_channels or 0)
            length = found.duration_seconds
        except Exception as error:  # the library's own C++ errors arrive as several types
            raise AudioError(path, "unreadable", f"FFmpeg: {_short(error)}") from error
        known = length is not None and math.isfinite(length) and length >= 0
        self.frames: int | None = round(length * self.rate) if known else None

    def __enter__(self) -> _CodecReader:
        return self

    def __exit__(self, *_: object) -> None:
        del self._decoder

    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]:
        begin = start / self.rate
        # No end, even where all is wanted: a header's length may be a guess from the bit rate.
        end = None if count is None else (start + count) / self.rate
        try:
            found = self._decoder.get_samples_played_in_range(begin, end)
        except Exception:  # none there, or damage: the caller sees that samples are missing
            return
        samples = mixed_down(found.data.numpy().T)
        gap = round((found.pts_seconds - begin) * self.rate)
        if 0 < gap <= self.rate:  # the first packet of some containers starts late
            samples = np.concatenate([np.zeros(gap, np.float32), samples])
        if len(samples):
            yield samples[:count]


class _VorbisReader:
    """An Ogg Vorbis file that FFmpeg decodes, where that gives libsndfile's samples to 5e-7.

    It does not look at checksums, and a file that was cut out of a longer one it starts later.
    """

    def __init__(self, path: Path, reader: _SoundFileReader, decoder: Any) -> None:
        self._path, self._reader, self._decoder = path, reader, decoder
        self.rate, self.channels, self.frames = reader.rate, reader.channels, reader.frames

    def __enter__(self) -> _VorbisReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.__exit__()

    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]:
        """Of the whole, which is all that is asked for."""
        found = self._decoded()
        if found is None:
            with _SoundFileReader(self._path) as reader:  # the first may have been read from
                yield from reader.blocks(start, count)
            return
        size = _block_frames(self.channels)
        for first in range(0, len(found), size):
            yield mixed_down(found[first : first + size])

    def _decoded(self) -> np.ndarray | None:
        """(frames, channels), or None where it is for libsndfile to say what is wrong."""
        try:
            if not ogg.is_whole(self._path):
                return None
            # absolute, since of a relative name FFmpeg may make a protocol
            found = self._decoder(self._path.absolute()).get_all_samples().data.numpy().T
        except Exception:  # the library's own C++ errors arrive as several types
            return None
        return found if self._is_libsndfiles(found) else None

    def _is_libsndfiles(self, found: np.ndarray) -> bool:
        """By the first block: where that is silent there is nothing to tell places by."""
        if found.shape != (self.frames, self.channels):
            return False
        first = found[: _block_frames(self.channels)]
        expected = np.empty_like(first, order="C")
        if len(self._reader._block(expected)) < len(first):
            return False
        mono = mixed_down(expected)  # the order of more than two channels is each decoder's own
        loud = float(np.abs(mono).max()) > 100 * _SAME
        return loud and float(np.abs(mixed_down(first) - mono).max()) <= _SAME


@cache
def _vorbis_decoder() -> Any:
    """torchcodec's, or None."""
    try:
        return _codec()
    except Exception:  # a broken one raises what it likes
        return None


def _short(error: Exception) -> str:
    """Keep what FFmpeg says of a file, without the place in the library that noticed."""
    return first_line(error).rpartition(".cpp:")[2].lstrip("0123456789, ") or "cannot open it"
