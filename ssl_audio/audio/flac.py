"""FLAC (RFC 9639): the last frame gives the number of samples that the header should give."""

from typing import BinaryIO

from ssl_audio.audio.container import TAIL, UNKNOWN, Layout, Part, read_at

_START = b"fLaC"
_TAIL_BYTES = 1 << 17  # in which the last frame begins: 8 channels of 24 bits rarely take more
_WINDOW = 1 << 20  # bytes read at a time
_TOTAL_BITS = (1 << 36) - 1  # of the eight bytes that end with the number of samples


def layout(file: BinaryIO, size: int) -> Layout:
    """The layout of a FLAC file, or of several that were joined."""
    starts = [*_streams(file, size), size]
    streams = [_stream(file, *span) for span in zip(starts, starts[1:], strict=False)]
    if any(rate == 0 for _, rate, _, _ in streams):
        return UNKNOWN
    seconds = sum(max(total, held) / rate for _, rate, total, held in streams)
    short = any(rate and total - held > TAIL * rate for _, rate, total, held in streams)
    fault = "it ends before its header says" if short else ""
    parts = tuple(part for part, *_ in streams)
    if len(parts) > 1:
        return Layout(parts, None, seconds, fault)
    _, _, total, held = streams[0]
    return Layout(() if short or total == held else parts, held, seconds, fault)


def sampled(file: BinaryIO, size: int) -> Layout | None:
    """The layout by the last frame, if frames before it have lower numbers; else None."""
    _, rate, total, held = _stream(file, 0, size)
    head = read_at(file, 0, 42)
    ends = [_end(read_at(file, k * size // 4, _TAIL_BYTES), head) for k in (1, 2, 3)]
    if not rate or not 0 < ends[0] < ends[1] < ends[2] < held == total:
        return None
    return Layout((), held, total / rate)


def _streams(file: BinaryIO, size: int) -> list[int]:
    """Where streams begin: with the mark and the header of a block of 34 bytes."""
    found, place, carry = [0], 4, b""
    file.seek(place)
    while data := file.read(_WINDOW):
        data = carry + data
        offset = data.find(_START)
        while offset >= 0:
            head = data[offset + 4 : offset + 8]
            if head in (b"\0\0\0\x22", b"\x80\0\0\x22"):
                found.append(place - len(carry) + offset)
            offset = data.find(_START, offset + 1)
        place += len(data) - len(carry)
        carry = data[-7:]
    return found


def _stream(file: BinaryIO, start: int, end: int) -> tuple[Part, int, int, int]:
    """A stream with the right number of samples; its rate, that number by its header, and by its
    last frame."""
    head = read_at(file, start, 42)
    if len(head) < 42 or head[4] & 0x7F:
        return ((start, end),), 0, 0, 0
    described = int.from_bytes(head[18:26], "big")
    rate, total = described >> 44, described & _TOTAL_BITS
    tail = max(start + 42, end - _TAIL_BYTES)
    held = _end(read_at(file, tail, end - tail), head) or total
    right = (described & ~_TOTAL_BITS | held).to_bytes(8, "big")
    return ((start, start + 18), right, (start + 26, end)), rate, total, held


def _end(data: bytes, head: bytes) -> int:
    """Samples up to the end of the last frame that begins in `data`; 0 if none does."""
    fixed_size = int.from_bytes(head[8:10], "big")
    offset = data.rfind(b"\xff")
    while offset >= 0:
        if found := _frame_end(data[offset : offset + 17], fixed_size, head):
            return found
        offset = data.rfind(b"\xff", 0, offset)
    return 0


def _frame_end(data: bytes, fixed_size: int, head: bytes) -> int:
    """Samples up to the end of the frame that begins here; 0 if it is none."""
    length, data = len(data), data.ljust(17, b"\0")  # a whole frame of silence may be shorter
    if data[1] & 0xFE != 0xF8 or data[3] & 1:
        return 0
    size_code, rate_code, channels = data[2] >> 4, data[2] & 15, data[3] >> 4
    if size_code == 0 or rate_code == 15 or channels > 10:
        return 0
    if channels < 8 and channels != (head[20] >> 1 & 7):
        return 0
    number, place = _coded_number(data)
    if size_code in (6, 7):
        width = size_code - 5
        samples = 1 + int.from_bytes(data[place : place + width], "big")
        place += width
    elif size_code == 1:
        samples = 192
    else:
        samples = 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    place += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if place == 0 or place >= length or _crc8(data[:place]) != data[place]:
        return 0
    return (number if data[1] & 1 else number * fixed_size) + samples


def _coded_number(data: bytes) -> tuple[int, int]:
    """The number of a frame or sample, coded like UTF-8, and the place after it; 0, 0 if none."""
    first = data[4]
    if first < 0x80:
        return first, 5
    more = 7 - (first ^ 0xFF).bit_length()
    if not 1 <= more <= 6:
        return 0, 0
    number = first & (0x3F >> more)
    for byte in data[5 : 5 + more]:
        if byte & 0xC0 != 0x80:
            return 0, 0
        number = number << 6 | byte & 0x3F
    return number, 5 + more


def _crc8(data: bytes) -> int:
    """Checksum with the polynomial x^8 + x^2 + x + 1."""
    found = 0
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = (found << 1 ^ 0x07 if found & 0x80 else found << 1) & 0xFF
    return found
