"""Pages of Ogg files (RFC 3533): streams that follow each other, and the pages' checksums."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ssl_audio.audio.container import UNKNOWN, Layout, read_at

_HEADER = 27  # bytes of a page before its table of segments
_FIRST, _LAST = 2, 4  # flags of a stream's first and last page
_NO_TIME = (1 << 64) - 1  # of a page on which no packet ends
_WINDOW = 1 << 20  # bytes read at a time
_OPUS_RATE = 48_000  # Hz of the times in a stream of Opus
_MAX_START = 10.0  # s; a stream whose first page ends later was cut out of a longer one
_LONGEST = _HEADER + 255 * 256  # bytes of a page
_MAX_BYTES = 1 << 28  # larger files are not read into memory
# Ogg's checksum is zlib's with the bits of every byte, and of the result, reversed
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass
class _Link:
    """A stream of audio, with those that are interleaved with it."""

    start: int  # of its first page
    serial: bytes = b""  # of the audio; b"" where no stream is audio
    rate: int = 0  # of times, Hz
    first: int | None = None  # time of the first page of audio, samples
    last: int = 0  # of the last page
    ended: bool = False  # it has a last page

    @property
    def seconds(self) -> float:
        first = self.first or 0
        return (self.last - (first if first > _MAX_START * self.rate else 0)) / self.rate


def layout(file: BinaryIO, size: int) -> Layout:
    """The layout of an Ogg file: one stream, or several that follow each other."""
    links = _links(file, size)
    if not links or any(not link.rate for link in links):
        return UNKNOWN
    seconds = sum(link.seconds for link in links)
    fault = "" if links[-1].ended else "its last page is missing"
    if len(links) == 1:
        return Layout((), None, seconds, fault)
    ends = [*(link.start for link in links[1:]), size]
    parts = tuple(((link.start, end),) for link, end in zip(links, ends, strict=True))
    return Layout(parts, None, seconds, fault)


def sampled(file: BinaryIO, size: int) -> Layout | None:
    """The layout by the first and the last pages, if those between belong to them; else None."""
    links = _links(file, 4 * _LONGEST)
    pages = [_page_at(file, part * size // 4) for part in (1, 2, 3)]
    pages.append(_page_at(file, max(0, size - 2 * _LONGEST), last=True))
    if len(links) != 1 or not links[0].rate or None in pages:
        return None
    (link,) = links
    numbers = [int.from_bytes(page[18:22], "little") for page in pages if page]
    serials = {page[14:18] for page in pages if page}
    if serials != {link.serial} or sorted(set(numbers)) != numbers:
        return None
    assert pages[-1] is not None
    link.last = int.from_bytes(pages[-1][6:14], "little")
    return Layout((), None, link.seconds) if pages[-1][5] & _LAST else None


def _page_at(file: BinaryIO, place: int, last: bool = False) -> bytes | None:
    """The header of the first page from a place on, or of the last one, which ends the file."""
    data = read_at(file, place, 2 * _LONGEST)
    find = data.rfind if last else data.find
    offset = find(b"OggS")
    while offset >= 0:
        end = _end(data, offset)
        if end and (not last or end == len(data)):
            return data[offset : offset + _HEADER]
        offset = data.rfind(b"OggS", 0, offset) if last else data.find(b"OggS", offset + 1)
    return None


def _links(file: BinaryIO, size: int) -> list[_Link]:
    """The streams of audio of a file; pages without the mark are skipped."""
    links: list[_Link] = []
    base, data, place, beginning = 0, b"", 0, False
    while place + _HEADER <= size:
        offset = place - base
        if offset + _LONGEST > len(data) and base + len(data) < size:
            file.seek(place)
            base, data, offset = place, file.read(_WINDOW), 0
        end = _end(data, offset)
        if not end:
            found = data.find(b"OggS", offset + 1)
            place = base + (found if found >= 0 else max(offset + 1, len(data) - 3))
            continue
        flags, serial = data[offset + 5], data[offset + 14 : offset + 18]
        time = int.from_bytes(data[offset + 6 : offset + 14], "little")
        first = bool(flags & _FIRST)
        if first and not beginning:  # not one that is interleaved with another
            links.append(_Link(place))
        if links:
            _add_page(links[-1], serial, time, flags, data[offset:end])
        place, beginning = base + end, first
    return links


def _add_page(link: _Link, serial: bytes, time: int, flags: int, page: bytes) -> None:
    if flags & _FIRST:
        rate = _rate(page[_HEADER + page[_HEADER - 1] :])
        if rate and not link.rate:
            link.serial, link.rate = serial, rate
    elif serial == link.serial:
        if 0 < time < _NO_TIME:
            link.first = time if link.first is None else link.first
            link.last = time
        link.ended = bool(flags & _LAST)


def _rate(packet: bytes) -> int:
    """Hz of the times of a stream with this first packet; 0 for one that is not audio."""
    if packet.startswith(b"OpusHead"):
        return _OPUS_RATE
    if packet.startswith(b"\x01vorbis"):
        return int.from_bytes(packet[12:16], "little")
    if packet.startswith(b"\x7fFLAC"):
        return int.from_bytes(packet[27:30], "big") >> 4
    return 0


def is_whole(path: Path) -> bool:
    """True if a file is one undamaged stream: all pages present, with right checksums.

    Raises:
        OSError: it cannot be read.
    """
    if path.stat().st_size > _MAX_BYTES:
        return False
    data = path.read_bytes()
    place = number = 0
    stream, flags = b"", 0
    while place < len(data):
        end = _end(data, place)
        header = data[place : place + _HEADER]
        if end == 0 or _checksum(data[place:end]) != header[22:26]:
            return False
        flags, serial = header[5], header[14:18]
        first = bool(flags & _FIRST)
        if first != (number == 0) or int.from_bytes(header[18:22], "little") != number:
            return False
        if stream not in (b"", serial):
            return False
        stream, place, number = serial, end, number + 1
    return bool(flags & _LAST)


def _end(data: bytes, start: int) -> int:
    """End of the page that starts here; 0 if there is none, or it is cut off."""
    if data[start : start + 4] != b"OggS" or start + _HEADER > len(data):
        return 0
    table = start + _HEADER
    end = table + data[table - 1]
    end += sum(data[table:end])
    return end if end <= len(data) else 0


def _checksum(page: bytes) -> bytes:
    """Checksum of a page, computed with its checksum field set to zeros."""
    blank = page[:22] + bytes(4) + page[26:]
    # undo zlib's initial value and its final inversion, which Ogg does not have
    found = zlib.crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return found.to_bytes(4, "big").translate(_REVERSED)
