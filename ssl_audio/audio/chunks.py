"""Chunks of RIFF, RF64 and AIFF files: the audio's size may be wrong, or another file follow."""

import math
import struct
from dataclasses import dataclass
from typing import BinaryIO

from ssl_audio.audio.container import TAIL, UNKNOWN, Layout, Part, read_at
from ssl_audio.audio.headers import WAV_PCM, Held, joined, resized

_OPEN_SIZE = 0x7FFF0000  # bytes of a chunk; programs that write to a pipe mean "to the end" by it
_FORMS = (b"RIFF", b"RIFX", b"RF64", b"FORM")
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
_AIFF_PCM = b"NONE sowt twos fl32 FL32 fl64 FL64 in24 in32".split(b" ") + [b"raw ", bytes(4)]


@dataclass
class _Form(Held):
    """One file of chunks; `frame` is 0 where samples are compressed."""

    wide_size: int = 0  # of the audio, in RF64

    @property
    def stated(self) -> int:
        """Size of the audio by its chunk, bytes."""
        return self.wide_size or self.size or 0

    @property
    def promised(self) -> float | None:
        """Seconds."""
        is_open = self.stated >= _OPEN_SIZE and not self.wide_size
        return None if is_open else self.stated / self.rate


def layout(file: BinaryIO, size: int) -> Layout:
    """The layout of a file of chunks, or of several that were joined."""
    forms = joined(file, size, _form, _FORMS)
    if any(form.rate <= 0 or not form.audio for form in forms):
        return UNKNOWN
    promised = [form.promised for form in forms]
    seconds = sum(promised) if None not in promised else None  # type: ignore[arg-type]
    last = forms[-1]
    rest = size - last.end
    lost = rest / last.rate > TAIL and not read_at(file, last.end, 11).startswith(_TAGS)
    if len(forms) > 1:
        fault = f"{rest} bytes at its end are in no chunk" if lost else ""
        return Layout(tuple(((form.start, form.end),) for form in forms), None, seconds, fault)
    if lost and last.promised is not None:
        count = size - last.audio
        part: Part = ()
        if last.frame and count < _OPEN_SIZE and not last.wide_size:
            count -= count % last.frame
            part = resized(last, count)
        return Layout((part,) if part else (), count // max(1, last.frame), count / last.rate)
    cut_off = last.audio + last.stated > size and seconds is not None
    return Layout((), None, seconds, "it ends before its header says" if cut_off else "")


def _form(file: BinaryIO, start: int, size: int) -> _Form:
    """Read the chunks of the file that starts here."""
    magic = read_at(file, start, 4)
    aiff, order = magic == b"FORM", ">" if magic in (b"FORM", b"RIFX") else "<"
    form = _Form(start, start + 12)
    while form.end + 8 <= size:
        name = read_at(file, form.end, 4)
        length, place = struct.unpack(f"{order}I", read_at(file, form.end + 4, 4))[0], form.end + 8
        audio = name == (b"SSND" if aiff else b"data")
        if name in _FORMS or not name.isascii() or not name.decode("ascii").isprintable():
            return form
        if place + length > size and not audio:
            return form
        if name == b"ds64":
            form.wide_size = int.from_bytes(read_at(file, place + 8, 8), "little")
        elif name == b"fmt ":
            _read_fmt(form, order, read_at(file, place, 16).ljust(16, b"\0"))
        elif name == b"COMM":
            _read_comm(form, read_at(file, place, min(length, 22)).ljust(22, b"\0"))
        elif audio:
            head = 8 if aiff else 0
            form.audio, form.size = place + head, max(0, length - head)
            form.field = (place - 4, f"{order}I", head)
            if magic == b"RF64" and length == 0xFFFFFFFF:
                length = form.wide_size
            else:
                form.wide_size = 0
        form.end = min(size, place + length + length % 2)
    form.end = size
    return form


def _read_fmt(form: _Form, order: str, chunk: bytes) -> None:
    kind, _, hertz, per_second, frame, _ = struct.unpack(f"{order}HHIIHH", chunk)
    pcm = kind in WAV_PCM
    form.frame, form.rate = (frame, frame * hertz) if pcm else (0, per_second)


def _read_comm(form: _Form, chunk: bytes) -> None:
    channels, _, bits, exponent, mantissa = struct.unpack(">HIHHQ", chunk[:18])
    if chunk[18:22] in _AIFF_PCM:
        # 80-bit floating point: 15 bits of exponent, and a mantissa with its leading one
        hertz = math.ldexp(mantissa, min(exponent & 0x7FFF, 16446) - 16383 - 63)
        form.frame = channels * -(-bits // 8)
        form.rate = form.frame * hertz if 1 <= hertz < 1e7 else 0.0
