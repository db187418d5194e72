"""AU, CAF and W64 files: the size of the audio may be wrong, unknown, or another file follow.

libsndfile stops where an AU or CAF header says, refuses a CAF file that is shorter or of unknown
size, and reads what follows the audio of a W64 file as audio too.
"""

import struct
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from ssl_audio.audio.container import TAIL, UNKNOWN, Layout, Part, read_at

_AU_BYTES = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}  # of a sample, by encoding
_CAF_PCM = (b"lpcm", b"ulaw", b"alaw")
WAV_PCM = (1, 3, 6, 7, 0xFFFE)  # integers, floats, A-law, mu-law, and those by a longer header
_GUID = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # after the name of a W64 chunk
_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
MAGIC = (b".snd", b"dns.", b"caff", _RIFF[:4])


@dataclass
class Held:
    """One file of those that were joined, or the only one."""

    start: int
    end: int  # of its last chunk, or of the audio
    audio: int = 0  # place of the audio
    size: int | None = None  # of the audio, as promised; None is "to the end"
    frame: int = 0  # bytes of a sample in all channels
    rate: float = 0.0  # bytes per second
    field: tuple[int, str, int] = (0, ">I", 0)  # place of the size, its type, what it counts more


File = TypeVar("File", bound=Held)


def layout(file: BinaryIO, size: int) -> Layout:
    """The layout of a file, or of several that were joined."""
    magic = read_at(file, 0, 4)
    files = joined(file, size, {b"caff": _caf, b"riff": _w64}.get(magic, _au), (magic,))
    if any(one.rate <= 0 or not one.frame or not one.audio for one in files):
        return UNKNOWN
    last = files[-1]
    there = size - last.audio
    lost = (size - last.end) / last.rate > TAIL
    promised = [(there if one.size is None else one.size) / one.rate for one in files]
    fault = "it ends before its header says" if last.size and last.size > there else ""
    if len(files) > 1:
        return Layout(tuple(((f.start, f.end),) for f in files), None, sum(promised), fault)
    if lost and not fault:
        promised = [there / last.rate]
    elif not fault and not (last.size is None and magic == b"caff"):
        return Layout((), None, promised[0])
    return Layout((resized(last, there - there % last.frame),), None, promised[0], fault)


def joined(
    file: BinaryIO, size: int, read: Callable[[BinaryIO, int, int], File], magic: Container[bytes]
) -> list[File]:
    """What `read` finds at the start of a file, and after each end that the magic follows."""
    files = [read(file, 0, size)]
    while read_at(file, files[-1].end, 4) in magic and len(files) < 1000:
        files.append(read(file, files[-1].end, size))
    return files


def _au(file: BinaryIO, start: int, size: int) -> Held:
    order = ">" if read_at(file, start, 4) == b".snd" else "<"
    head = read_at(file, start + 4, 20).ljust(20, b"\0")
    offset, length, encoding, hertz, channels = struct.unpack(f"{order}5I", head)
    frame = _AU_BYTES.get(encoding, 0) * channels
    found = Held(start, size, start + offset, None, frame, frame * hertz)
    found.field = (start + 8, f"{order}I", 0)
    if length != 0xFFFFFFFF:
        found.size, found.end = length, min(size, found.audio + length)
    return found


def _caf(file: BinaryIO, start: int, size: int) -> Held:
    found = Held(start, start + 8)
    while found.end + 12 <= size:
        name, length = struct.unpack(">4sq", read_at(file, found.end, 12))
        place = found.end + 12
        if not name.isalnum() or length < -1 or (place + length > size and name != b"data"):
            return found
        if name == b"desc":
            desc = read_at(file, place, 32).ljust(32, b"\0")
            hertz, kind, _, packet, frames, _, _ = struct.unpack(">d4s5I", desc)
            if kind in _CAF_PCM and frames == 1 and 1 <= hertz < 1e7:
                found.frame, found.rate = packet, packet * hertz
        elif name == b"data":
            found.audio, found.field = place + 4, (place - 8, ">q", 4)  # after a count of edits
            found.size = None if length == -1 else max(0, length - 4)
        found.end = size if length == -1 else min(size, place + length)
    return found


def _w64(file: BinaryIO, start: int, size: int) -> Held:
    found = Held(start, start + 40)
    while found.end + 24 <= size:
        name, guid, length = struct.unpack("<4s12sQ", read_at(file, found.end, 24))
        place = found.end + 24
        if guid != _GUID or length < 24 or (found.end + length > size and name != b"data"):
            return found
        if name == b"fmt ":
            head = read_at(file, place, 16).ljust(16, b"\0")
            kind, _, hertz, _, frame, _ = struct.unpack("<HHIIHH", head)
            found.frame = frame if kind in WAV_PCM else 0
            found.rate = found.frame * hertz
        elif name == b"data":
            found.audio, found.size, found.field = place, length - 24, (place - 8, "<Q", 24)
        found.end = min(size, found.end + length + -length % 8)
    return found


def resized(found: Held, count: int) -> Part:
    """The file with so many bytes of audio, whatever the size that its header gives."""
    place, kind, more = found.field
    field = struct.pack(kind, min(count + more, 0xFFFFFFFE) if kind[1] == "I" else count + more)
    return ((0, place), field, (place + len(field), found.audio + count))
