"""Integrity of Ogg files: the checksums of their pages (RFC 3533)."""

from __future__ import annotations

import zlib
from pathlib import Path

_HEADER = 27  # bytes of a page before its table of segments
_FIRST, _LAST = 2, 4  # flags of a stream's first and last page
_MAX_BYTES = 1 << 28  # larger files are not read into memory
# Ogg's checksum is zlib's with the bits of every byte, and of the result, reversed
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


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
