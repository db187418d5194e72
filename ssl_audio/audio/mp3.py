"""Frames of MPEG audio (ISO 11172-3, 13818-3): their number is counted, not taken from a header.

The number of frames in a Xing or Info header may be wrong: of the first of several files that were
joined, or of another file. Without such a header decoders estimate it from the first bit rate.
"""

import struct
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import BinaryIO, NamedTuple

from ssl_audio.audio.container import TAIL, UNKNOWN, Layout, after_tag, read_at

_WINDOW = 1 << 20  # bytes read at a time
_ALIKE = 3  # frames of one format in a row that are no chance
_SAMPLES, _SAMPLE_BYTES = 8, 1 << 14  # places of a large file that are looked at
_MIN_DEVIATION, _MAX_DEVIATION = 0.02, 0.4  # of a header from these places, before all is read
_TAG_BYTES = 1 << 13  # at the end of a file, that the header of the stream does not count
_TAG_MARKS = (b"APETAGEX", b"LYRICSBEGIN", b"TAG")  # of tags at the end of a file
# bits of a header: what gives the frame's length, what all frames of a stream share, and its mode
_LENGTH_BITS, _FORMAT_BITS, _MONO = 0xFFFEFE00, 0xFFFE0C00, 0xC0
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBITS = {  # per second, by MPEG 1 or a later one, and layer
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _lengths() -> dict[int, int]:
    """Bytes of a frame, by the bits of its header that give them."""
    found = {}
    for (first, layer), kbits in _KBITS.items():
        for version in (3,) if first else (2, 0):
            for code, rate in enumerate(_RATES[version]):
                for number, kbit in enumerate(kbits, 1):
                    bits = 0xFFE00000 | version << 19 | (4 - layer) << 17
                    bits |= number << 12 | code << 10
                    if layer == 1:
                        length, slot = 4 * (12_000 * kbit // rate), 4
                    else:
                        per_frame = 144 if first or layer == 2 else 72
                        length, slot = per_frame * 1000 * kbit // rate, 1
                    found[bits], found[bits | 1 << 9] = length, length + slot
    return found


_LENGTHS = _lengths()


def frame_length(header: bytes) -> int:
    """Bytes of the frame that begins with these four bytes; 0 if they begin none."""
    found = int.from_bytes(header, "big") & _LENGTH_BITS
    return _LENGTHS.get(found, 0) if len(header) == 4 else 0


class _Format(NamedTuple):
    """What the frames of a stream have in common."""

    bits: int  # of the header
    mono: bool

    @property
    def mpeg1(self) -> bool:
        return self.bits >> 19 & 3 == 3

    @property
    def layer(self) -> int:
        return 4 - (self.bits >> 17 & 3)

    @property
    def rate(self) -> int:
        """Hz."""
        return _RATES[self.bits >> 19 & 3][self.bits >> 10 & 3]

    @property
    def samples(self) -> int:
        """Of a channel in a frame."""
        return (384, 1152, 1152 if self.mpeg1 else 576)[self.layer - 1]

    @property
    def info_offset(self) -> int:
        """Where a header of the stream stands in the first frame: after the side information."""
        return 4 + ((17 if self.mono else 32) if self.mpeg1 else (9 if self.mono else 17))


class _Info(NamedTuple):
    """A header of the stream, in a first frame without audio."""

    frames: int | None
    size: int | None  # bytes of the stream
    cut: tuple[int, int] = (0, 0)  # samples before and after the audio that an encoder added


@dataclass
class _Run:
    """Frames of one format."""

    format: _Format
    info: _Info | None
    count: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)

    @property
    def samples(self) -> int:
        cut = sum(self.info.cut) if self.info else 0
        return max(0, self.count * self.format.samples - cut)

    @property
    def seconds(self) -> float:
        return self.samples / self.format.rate


def layout(file: BinaryIO, start: int, size: int) -> Layout:
    """The layout of a file whose first frame begins at `start`."""
    runs, junk = _runs(file, start, size)
    if not runs:
        return UNKNOWN
    first = runs[0]
    held = seconds = sum(run.seconds for run in runs)
    length = sum(end - begin for begin, end in first.spans) / first.count  # of a frame, bytes
    fault = ""
    if junk / length * first.format.samples / first.format.rate > TAIL:
        fault = f"{junk} bytes of it are no mp3 frames"
    if first.info and first.info.frames is not None:
        samples = first.info.frames * first.format.samples - sum(first.info.cut)
        promised = samples / first.format.rate
        cut_off = first.info.size is None or size - start < first.info.size
        if promised - held > TAIL and (junk or cut_off):
            seconds, fault = promised, fault or "it ends before its header says"
    if len(runs) > 1:
        fault = "its sample rate or its number of channels changes"
    if first.format.layer != 3:  # no other layer has headers of the stream
        return Layout((), None, seconds, fault)
    # a decoder stops at what is between spans, and prints a line about a header that is wrong
    wrong = first.info is not None and first.info.frames not in (None, first.count)
    frames = None if wrong or len(first.spans) > 1 else first.samples
    return Layout(((_info_frame(first), *first.spans),), frames, seconds, fault)


def sampled(file: BinaryIO, start: int, size: int) -> Layout | None:
    """The layout by the header of the stream, if frames have about the length that it implies.

    None without such a header, or where it does not fit the file.
    """
    format_, info, begin = _begin(file, start)
    if not info or not info.frames or not info.size or abs(size - start - info.size) > _TAG_BYTES:
        return None
    shares = []  # of the frames that the header implies, in each place: 1 where it is right
    for part in range(_SAMPLES):
        place = begin + part * (size - begin) // _SAMPLES
        found = _next_frame(file, place, min(size, place + _SAMPLE_BYTES))
        if found is None or _begin(file, found)[0] != format_:
            return None
        end, frames = _frames(file, found, min(size, found + _SAMPLE_BYTES), format_)
        if end > found:
            shares.append(frames / (end - found) * info.size / info.frames)
    run = _Run(format_, info, info.frames)
    spread = pstdev(shares) / len(shares) ** 0.5 if shares else 0.0  # 0 with a constant bit rate
    if not shares or abs(fmean(shares) - 1) > min(_MAX_DEVIATION, _MIN_DEVIATION + 3 * spread):
        return None
    return Layout((), run.samples, run.seconds)


def _runs(file: BinaryIO, start: int, size: int) -> tuple[list[_Run], int]:
    """The frames of a file, and the number of bytes that are neither frames nor tags."""
    runs: list[_Run] = []
    place, junk = start, 0
    while (found := _next_frame(file, place, size)) is not None:
        junk += found - place
        format_, info, begin = _begin(file, found)
        place, count = _frames(file, begin, size, format_)
        if not runs or runs[-1].format != format_:
            runs.append(_Run(format_, info))
        runs[-1].count += count
        runs[-1].spans.append((begin, place))
        place = after_tag(file, place)
    return [run for run in runs if run.count], junk + size - place - _end_tags(file, place, size)


def _frames(file: BinaryIO, place: int, size: int, format_: _Format) -> tuple[int, int]:
    """Where the frames of one format end that follow each other from here, and their number."""
    read, lengths, count = struct.Struct(">I").unpack_from, _LENGTHS, 0
    mode, share = (_MONO, format_.bits | _MONO) if format_.mono else (0, format_.bits)
    while size - place >= 4:
        file.seek(place)
        data, offset = file.read(_WINDOW), 0
        last = len(data) - 4
        while offset <= last:
            (header,) = read(data, offset)
            length = lengths.get(header & _LENGTH_BITS, _WINDOW)
            alike = header & (_FORMAT_BITS | mode) == share and (mode or header & _MONO != _MONO)
            if not alike or place + offset + length > size:
                return place + offset, count
            offset += length
            count += 1
        place += offset
        if not offset:
            break
    return place, count


def _next_frame(file: BinaryIO, place: int, size: int) -> int | None:
    """Where the next frame begins that others like it follow; None if there is none."""
    while place < size:
        file.seek(place)
        data = file.read(_WINDOW)
        offset = data.find(b"\xff")
        while offset >= 0:
            if data[offset + 1 : offset + 2] >= b"\xe0" or offset + 1 == len(data):
                if _begins(file, place + offset, size):
                    return place + offset
            offset = data.find(b"\xff", offset + 1)
        place += max(1, len(data))
    return None


def _begins(file: BinaryIO, place: int, size: int) -> bool:
    """True if frames of one format follow each other from here, up to the end if that is near."""
    expected = 0
    for number in range(_ALIKE):
        header = read_at(file, place, 4)
        length, bits = frame_length(header), int.from_bytes(header, "big") & _FORMAT_BITS
        if not length or (number and bits != expected):
            return number > 0 and (size - place < 4 or header[:3] in (b"TAG", b"ID3", b"APE"))
        expected, place = bits, place + length
        if place > size:  # the last frame is cut off
            return number > 0
    return True


def _begin(file: BinaryIO, place: int) -> tuple[_Format, _Info | None, int]:
    """Format and header of the stream that begins here, and where its audio does."""
    frame = read_at(file, place, frame_length(read_at(file, place, 4)))
    bits = int.from_bytes(frame[:4], "big")
    format_ = _Format(bits & _FORMAT_BITS, bits & _MONO == _MONO)
    info = _read_info(frame, format_) if format_.layer == 3 else None
    return format_, info, place + len(frame) if info else place


def _read_info(frame: bytes, format_: _Format) -> _Info | None:
    """The header of a stream by Xing, with LAME's extension, or by Fraunhofer (VBRI)."""
    if frame[36:40] == b"VBRI":
        return _Info(int.from_bytes(frame[50:54], "big"), int.from_bytes(frame[46:50], "big"))
    place = format_.info_offset
    if frame[place : place + 4] not in (b"Xing", b"Info"):
        return None
    flags, place = int.from_bytes(frame[place + 4 : place + 8], "big"), place + 8
    found: list[int | None] = []
    for flag, length in ((1, 4), (2, 4), (4, 100), (8, 4)):
        present = bool(flags & flag)
        found.append(int.from_bytes(frame[place : place + 4], "big") if present else None)
        place += length if present else 0
    both = int.from_bytes(frame[place + 21 : place + 24], "big")  # 12 bits each
    return _Info(found[0], found[1], (both >> 12, both & 0xFFF))


def _info_frame(run: _Run) -> bytes:
    """A first frame with the right number of frames, for a decoder to read all of them."""
    format_ = run.format
    for code in range(1, 15):
        header = format_.bits | 1 << 16 | code << 12 | (_MONO if format_.mono else 0)
        length = _LENGTHS[header & _LENGTH_BITS]
        if length >= format_.info_offset + 56:
            break
    size = length + sum(end - begin for begin, end in run.spans)
    tag = struct.pack(">4sIII", b"Xing", 3, run.count, size)
    if run.info and any(run.info.cut):
        before, after = run.info.cut
        tag += b"LAME3.100".ljust(21, b"\0") + (before << 12 | after).to_bytes(3, "big")
    return (header.to_bytes(4, "big").ljust(format_.info_offset, b"\0") + tag).ljust(length, b"\0")


def _end_tags(file: BinaryIO, place: int, size: int) -> int:
    """Bytes of tags, or of zeros, from here to the end of a file."""
    found = read_at(file, place, _WINDOW)
    starts = [start for mark in _TAG_MARKS if (start := found.find(mark)) >= 0]
    if starts:
        return size - place - min(starts)
    return 0 if found.strip(b"\0") else size - place
