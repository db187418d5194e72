"""Decoders behind one interface: libsndfile, FFmpeg through torchcodec, and shards."""

import os
import sys
from itertools import count
from pathlib import Path

import soundfile

from ssl_audio.audio.container import TAIL, Layout, Reader
from ssl_audio.audio.ffmpeg import (
    DECODED_AT_ONCE,
    TorchcodecMissing,
    TorchcodecReader,
    VorbisReader,
    torchcodec_decoder,
    vorbis_decoder,
)
from ssl_audio.audio.layouts import layout_of
from ssl_audio.audio.shard_reader import PLACE, ShardReader
from ssl_audio.audio.sndfile import ChainReader, SoundFileReader
from ssl_audio.io.errors import AudioError, first_line
from ssl_audio.io.files import AnyPath, regular_size

_MIN_RATE, _MAX_RATE = 1_000, 768_000  # Hz; beyond them a header is damaged
_TORCH_AFTER = 32  # Vorbis files that pay for the import of torch, of a second and 600 MiB
_vorbis_files = count()
# libsndfile recognises a file by its first bytes: if it fails to open one of these, it is damaged
_SNDFILE_MAGIC = (b"RIFF", b"RF64", b"RIFX", b"fLaC", b"OggS", b"ID3", b"FORM", b"caff")


def open_audio(path: AnyPath, whole: bool = False) -> Reader:
    """Open a file, or a place in a shard, for reading at any position, or as a `whole`."""
    if found := PLACE.fullmatch(os.fspath(path)):
        return ShardReader(found[1], int(found[2]), int(found[3]))
    path = Path(path)
    size = regular_size(path)
    if size == 0:
        raise AudioError(path, "empty", "0 bytes")
    try:
        layout = layout_of(os.fspath(path), whole)
    except OSError as error:
        raise AudioError(path, "unreadable", error.strerror or str(error)) from error
    try:
        reader = _open_with_sndfile(path, layout)
    except (soundfile.SoundFileError, TypeError, OSError) as error:
        # TypeError: soundfile requires a format for files named .raw
        reader = _open_with_codec(path, error)
    if not _MIN_RATE <= reader.rate <= _MAX_RATE or reader.channels < 1:
        reader.close()
        detail = f"its header says {reader.rate} Hz and {reader.channels} channels"
        raise AudioError(path, "unreadable", detail)
    return reader


def _open_with_sndfile(path: Path, layout: Layout) -> Reader:
    """A reader of all audio in a file, also where its header gives too little of it."""
    if len(layout.parts) > 1:
        return ChainReader(path, layout)
    if layout.parts and layout.frames is None:
        return SoundFileReader(path, layout, layout.parts[0])
    reader = SoundFileReader(path, layout)
    if not layout.parts or layout.frames is None:
        return reader
    if reader.frames is not None and abs(reader.frames - layout.frames) <= TAIL * reader.rate:
        return reader
    reader.close()
    return SoundFileReader(path, layout, layout.parts[0])


def open_whole(path: AnyPath) -> Reader:
    """Open a file that will be read from end to end."""
    reader = open_audio(path, whole=True)
    if isinstance(reader, SoundFileReader) and reader.vorbis and reader.frames:
        many = next(_vorbis_files) > _TORCH_AFTER
        decoder = vorbis_decoder() if many or "torch" in sys.modules else None
        if decoder is not None and reader.frames * reader.channels <= DECODED_AT_ONCE:
            return VorbisReader(Path(path), reader, decoder)
    return reader


def _open_with_codec(path: Path, cause: Exception) -> Reader:
    """Open a file that libsndfile cannot open, or report what is missing for it."""
    try:
        decoder = torchcodec_decoder()
    except TorchcodecMissing as missing:
        if _has_sndfile_magic(path):
            raise AudioError(path, "unreadable", f"libsndfile: {first_line(cause)}") from cause
        raise AudioError(path, "unsupported", str(missing)) from missing
    return TorchcodecReader(path, decoder)


def _has_sndfile_magic(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4).startswith(_SNDFILE_MAGIC)
