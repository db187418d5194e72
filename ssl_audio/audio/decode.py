"""Read any audio file as mono at a given sample rate, decoding no more of it than is needed."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import soxr

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.audio.container import TAIL, Reader
from ssl_audio.audio.decoders import open_audio, open_whole
from ssl_audio.io.errors import AudioError
from ssl_audio.io.files import AnyPath

_MARGIN = 512  # input samples on either side, at equal rates: twice soxr's HQ filter
_SHORTFALL = 0.25  # s; containers of lossy formats give their length to a packet or two
_MAX_VALUE = 1e6  # 16-bit integers stored as floats reach 3e4; a flipped exponent bit, 1e38
_SILENCE = 1e-4  # -80 dB of full scale
_SPOTS, _SPOT = 3, 1.0  # places that are checked for sound, and the length of each, s
_WHOLE_FOR_SILENCE = 600.0  # s; longer files that seem silent are checked at more places instead


@dataclass(frozen=True)
class AudioInfo:
    """Length and format of a file."""

    duration: float  # seconds
    sample_rate: int  # of the file, Hz
    channels: int  # of the file
    damage: str = ""  # what of it cannot be decoded, and why


def info(path: AnyPath) -> AudioInfo:
    """Length and format by a file's header; `examine` also decodes the end.

    Raises:
        AudioError: missing, empty, unreadable or unsupported.
    """
    with open_audio(path) as reader:
        frames = reader.frames
        if frames is None:
            frames = sum(len(block) for block in reader.blocks(0, None))
        if frames == 0:
            raise AudioError(path, "empty", "no samples")
        return AudioInfo(frames / reader.rate, reader.rate, reader.channels)


def examine(path: AnyPath) -> AudioInfo:
    """Measure a file: its end is decoded, and a few places are checked for sound.

    A file that ends before its header says has the length that can be decoded, and its `damage`
    says so.

    Raises:
        AudioError: missing, empty, unreadable, unsupported, truncated, or silent: all samples below
            1e-4 (-80 dB).
    """
    found = info(path)
    length, damage = _readable_frames(path, found)
    if length == 0:
        raise AudioError(path, "unreadable", "its header is whole, but nothing can be decoded")
    found = replace(found, duration=length / found.sample_rate, damage=damage)
    if _is_silent(path, found.duration):
        raise AudioError(path, "silent", f"{found.duration:.1f} s below -80 dB")
    return found


def read(
    path: AnyPath, start: float = 0.0, duration: float | None = None, sample_rate: int = SAMPLE_RATE
) -> np.ndarray:
    """Read a crop of a file as mono, the mean of its channels.

    A crop equals the same crop of the whole file resampled: the resampler gets enough context on
    both sides. Files that go through torchcodec with timestamps in milliseconds (webm, wma) may
    be some milliseconds off.

    Args:
        start: of the crop, seconds.
        duration: of the crop, seconds; None reads to the end of what can be decoded.
        sample_rate: of the result, Hz.

    Returns:
        float32 (samples,), nominally within [-1, 1]; exactly `round(duration * sample_rate)` of
        them where `duration` is given. At the end of a file, up to 64 ms are filled with zeros.

    Raises:
        AudioError: missing, empty, unreadable, unsupported, or truncated where more than 64 ms of
            the crop are not there.
        ValueError: a negative start, a duration that is not positive, or a rate below 1.
    """
    _check_crop(start, duration, sample_rate)
    whole = start == 0 and duration is None
    with open_whole(path) if whole else open_audio(path) as reader:
        if reader.frames == 0:
            raise AudioError(path, "empty", "no samples")
        length = None if duration is None else round(duration * sample_rate)
        try:
            samples = _crop(reader, round(start * sample_rate), length, sample_rate)
        except MemoryError as error:
            raise AudioError(path, "unreadable", "more samples than memory takes") from error
    if length is None and not len(samples):
        raise AudioError(path, "truncated", f"nothing can be decoded from {start:.2f} s on")
    if length is not None and len(samples) < length:
        samples = _fill(path, samples, length, start, sample_rate)
    _check_values(path, samples)
    return samples


class Stream:
    """A whole file as mono in blocks, for files of any length in bounded memory.

    Iterating, which is done once, gives float32 (samples,); concatenated, they are bit-equal to
    `read(path)`. It raises AudioError as `read` does, once the block with the fault is reached.

    Args:
        sample_rate: of the blocks, Hz.

    Attributes:
        note: after the last block, what of the file could not be decoded, or that it is silent
            (all samples below 1e-4, -80 dB); "" otherwise.
    """

    def __init__(self, path: AnyPath, sample_rate: int = SAMPLE_RATE) -> None:
        self._path, self._sample_rate = path, sample_rate
        self._frames, self._loudest = 0, 0.0  # of what is decoded so far
        self.note = ""

    def __iter__(self) -> Iterator[np.ndarray]:
        with open_whole(self._path) as reader:
            if reader.frames == 0:
                raise AudioError(self._path, "empty", "no samples")
            blocks = self._counted(reader)
            if reader.rate != self._sample_rate:
                blocks = resampled(blocks, reader.rate, self._sample_rate)
            for block in blocks:
                if len(block):
                    self._loudest = max(self._loudest, _check_values(self._path, block))
                    yield block
            if not self._frames:
                raise AudioError(self._path, "truncated", "nothing can be decoded from 0.00 s on")
            self.note = _damage(reader, self._frames)
            if self._loudest < _SILENCE:
                self.note = f"silent; {self.note}" if self.note else "silent"

    def _counted(self, reader: Reader) -> Iterator[np.ndarray]:
        for block in reader.blocks(0, None):
            self._frames += len(block)
            yield block


def resampled(blocks: Iterable[np.ndarray], rate: int, sample_rate: int) -> Iterator[np.ndarray]:
    """Resample a mono waveform that is given in blocks.

    Args:
        blocks: float32 (samples,) each, at `rate` Hz.
        rate, sample_rate: of the blocks and of the result, Hz.

    Yields:
        float32 (samples,); in all, the duration times the new rate, rounded.
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
    path: AnyPath, samples: np.ndarray, count: int, start: float, sample_rate: int
) -> np.ndarray:
    missing = count - len(samples)
    if missing > TAIL * sample_rate or not len(samples):
        end = start + count / sample_rate
        detail = f"crop {start:.2f} to {end:.2f} s, the last {missing / sample_rate:.2f} s"
        raise AudioError(path, "truncated", f"{detail} are missing")
    return np.concatenate([samples, np.zeros(missing, np.float32)])


def _check_values(path: AnyPath, samples: np.ndarray) -> float:
    """The largest absolute value; `not <=` also refuses NaN."""
    largest = max(float(samples.max()), -float(samples.min()))
    if not largest <= _MAX_VALUE:
        raise AudioError(path, "unreadable", f"samples up to {largest:.3g}")
    return largest


def _crop(reader: Reader, first: int, length: int | None, sample_rate: int) -> np.ndarray:
    """Read `length` samples from `first` on, at `sample_rate`; fewer at the file's end."""
    if reader.rate == sample_rate:
        return _joined(reader.blocks(first, length))
    common = math.gcd(reader.rate, sample_rate)
    up, down = sample_rate // common, reader.rate // common
    margin = math.ceil(_MARGIN * max(1.0, down / up))
    # the grids of input and output coincide only at multiples of `down` input samples
    begin = max(0, first * down // up - margin)
    begin -= begin % down
    count = None if length is None else -(-(first + length) * down // up) + margin - begin
    source = _joined(reader.blocks(begin, count))
    if not len(source):
        return source
    # the resampler rounds its length either way; only samples that the input covers are kept
    result = soxr.resample(source, reader.rate, sample_rate)[: round(len(source) * up / down)]
    skip = first - begin // down * up
    end = None if length is None else skip + length
    return np.ascontiguousarray(result[skip:end], dtype=np.float32)


def _joined(blocks: Iterator[np.ndarray]) -> np.ndarray:
    parts = list(blocks)
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.float32), *parts])


def _readable_frames(path: AnyPath, header: AudioInfo) -> tuple[int, str]:
    """Frames of a file, as its header says if the last half second decodes, else counted; and what
    is missing."""
    frames = round(header.duration * header.sample_rate)
    with open_audio(path) as reader:
        if reader.frames is None:
            return frames, _damage(reader, frames)  # `info` has counted them
        tail = min(frames, header.sample_rate // 2)
        got = sum(len(block) for block in reader.blocks(frames - tail, tail))
        if tail - got <= TAIL * reader.rate:
            return frames - tail + got, _damage(reader, frames - tail + got)
    with open_audio(path) as reader:
        frames = sum(len(block) for block in reader.blocks(0, None))
        return frames, _damage(reader, frames)


def _damage(reader: Reader, frames: int) -> str:
    """What is missing of a file of which so many frames were decoded; "" if nothing is."""
    promised, fault = reader.layout.seconds, reader.layout.fault
    if promised is None and reader.frames is not None:
        promised = reader.frames / reader.rate
    seconds = frames / reader.rate
    short = promised is not None and promised - seconds > _SHORTFALL
    if not short and not fault:
        return ""
    part = f"{seconds:.2f} of {promised:.2f} s" if short else f"{seconds:.2f} s"
    return f"{part} can be decoded" + (f": {fault}" if fault else "")


def _is_silent(path: AnyPath, duration: float) -> bool:
    if _has_sound(path, duration, _SPOTS):
        return False
    if duration > _WHOLE_FOR_SILENCE:
        return not _has_sound(path, duration, 10 * _SPOTS)
    with open_audio(path) as reader:
        for block in reader.blocks(0, None):
            if _check_values(path, block) >= _SILENCE:
                return False
    return True


def _has_sound(path: AnyPath, duration: float, spots: int) -> bool:
    length = min(_SPOT, duration)
    for k in range(spots):
        start = (duration - length) * (k + 1) / (spots + 1)
        with open_audio(path) as reader:
            count = max(1, round(length * reader.rate))
            part = _joined(reader.blocks(round(start * reader.rate), count))
            if not len(part):
                raise AudioError(path, "unreadable", f"nothing can be decoded at {start:.1f} s")
            if _check_values(path, part) >= _SILENCE:
                return True
    return False
