"""What containers promise, checked against the bytes that follow.

Decoders believe a count in a header: audio after it would be lost without a word. Each kind of
container has a module with a function `layout`, which finds the audio that a file really holds. It
reads the file from end to end, which is too much for a crop or a scan: `sampled` looks at a few
places of a large file, and gives None where these contradict the header or each other.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import BinaryIO

from ssl_audio.audio import chunks, flac, headers, mp3, ogg
from ssl_audio.audio.container import UNKNOWN, Layout, after_tag

_REMEMBERED = 1 << 15  # files; training opens the same ones in every epoch
_SMALL = 1 << 20  # bytes; such a file is read whole
_BY_MAGIC: dict[bytes, Callable[[BinaryIO, int], Layout]] = {
    **dict.fromkeys((b"RIFF", b"RIFX", b"RF64", b"FORM"), chunks.layout),
    **dict.fromkeys(headers.MAGIC, headers.layout),
    b"fLaC": flac.layout,
    b"OggS": ogg.layout,
}
_SAMPLED: dict[bytes, Callable[[BinaryIO, int], Layout | None]] = {
    b"fLaC": flac.sampled,
    b"OggS": ogg.sampled,
}


def layout_of(path: str, whole: bool = True) -> Layout:
    """The layout of a file; `UNKNOWN` for containers that are not checked here.

    Args:
        whole: read all of it; else, of a large file, a few places if they agree with the header.

    Raises:
        OSError: it cannot be read.
    """
    status = os.stat(path)
    return _layout(path, status.st_size, status.st_mtime_ns, whole or status.st_size < _SMALL)


@lru_cache(_REMEMBERED)
def _layout(path: str, size: int, mtime_ns: int, whole: bool) -> Layout:
    """Size and time are part of the key, to tell versions of a file apart."""
    with open(path, "rb") as file:
        magic, found = file.read(4), None
        if magic in _BY_MAGIC:
            if not whole and magic in _SAMPLED:
                found = _SAMPLED[magic](file, size)
            return found or _BY_MAGIC[magic](file, size)
        start = after_tag(file, 0)
        file.seek(start)
        if mp3.frame_length(file.read(4)):
            if not whole:
                found = mp3.sampled(file, start, size)
            return found or mp3.layout(file, start, size)
    return UNKNOWN
