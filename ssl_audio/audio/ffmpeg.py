"""FFmpeg through `torchcodec`, optional: for what libsndfile cannot open, and for speed."""

import importlib
import math
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.audio import ogg
from ssl_audio.audio.container import Layout, Reader
from ssl_audio.audio.sndfile import SoundFileReader, block_frames, mixed_down
from ssl_audio.io.errors import AudioError, first_line

_INSTALL = 'pip install "ssl_audio[codec]"'
# Samples over all channels, 6 minutes of stereo: torchcodec holds what it decodes at once twice,
# up to 256 MiB
DECODED_AT_ONCE = 1 << 25
_PACKET = 1024  # samples of AAC: torchcodec starts again from the first one for a part of another
_SLACK = 0.01  # s that may be missing between two ranges, by rounding of their times
_SAME = 1e-5  # max difference between two decoders' samples


class TorchcodecMissing(Exception):
    """torchcodec, or FFmpeg, which it loads, is not installed."""


def torchcodec_decoder() -> Any:
    """Import torchcodec's decoder on first use: it imports torch, and most files need neither."""
    try:
        return importlib.import_module("torchcodec.decoders").AudioDecoder
    except ImportError as error:
        if not (error.name or "").startswith("torchcodec"):
            raise TorchcodecMissing(_codec_broken(error)) from error
        detail = "libsndfile cannot open it and torchcodec is missing"
        raise TorchcodecMissing(f"{detail}: {_INSTALL}; it needs FFmpeg as well") from error
    except (RuntimeError, OSError) as error:
        raise TorchcodecMissing(_codec_broken(error)) from error


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


class TorchcodecReader(Reader):
    """A file that FFmpeg opens. torchcodec always decodes from the start of the file."""

    def __init__(self, path: Path, decoder: Any) -> None:
        self._path = path
        try:
            self._decoder = decoder(path)
            found = self._decoder.metadata
            self.rate, self.channels = int(found.sample_rate or 0), int(found.num_channels or 0)
            length = found.duration_seconds
        except Exception as error:  # C++ errors of the library have several types
            raise AudioError(path, "unreadable", f"FFmpeg: {_short(error)}") from error
        known = length is not None and math.isfinite(length) and length >= 0
        self.frames: int | None = round(length * self.rate) if known else None
        self.layout = Layout(seconds=length if known else None)

    def close(self) -> None:
        del self._decoder

    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]:
        # not to the end of the header's length, which may be estimated from the bit rate
        size = max(_PACKET, DECODED_AT_ONCE // max(1, self.channels) // _PACKET * _PACKET)
        while count is None or count > 0:
            requested = size if count is None else min(size, count)
            samples = self._range(start, requested)
            if len(samples):
                yield samples[:requested]
            if requested - len(samples) > _SLACK * self.rate:
                return
            start += requested
            count = None if count is None else count - requested

    def _range(self, start: int, count: int) -> np.ndarray:
        """Samples from a place on, (samples,); fewer at the end or before damage."""
        begin = start / self.rate
        try:
            found = self._decoder.get_samples_played_in_range(begin, (start + count) / self.rate)
        except Exception:  # past the end, or damage: the caller sees that samples are missing
            return np.zeros(0, np.float32)
        samples = mixed_down(found.data.numpy().T)
        gap = round((found.pts_seconds - begin) * self.rate)
        if 0 < gap <= self.rate:  # the first packet of some containers starts late
            samples = np.concatenate([np.zeros(gap, np.float32), samples])
        return samples


def _short(error: Exception) -> str:
    """FFmpeg's message without the position in its source code."""
    return first_line(error).rpartition(".cpp:")[2].lstrip("0123456789, ") or "cannot open it"


class VorbisReader(Reader):
    """An Ogg Vorbis file decoded from end to end by FFmpeg, in three fifths of libsndfile's time.

    FFmpeg ignores checksums, and starts a file that was cut out of a longer one too late. So the
    checksums of all pages are verified and the first block is compared with libsndfile's; where
    either fails, libsndfile decodes the file. Both give the same samples to 5e-7.
    """

    def __init__(self, path: Path, reader: SoundFileReader, decoder: Any) -> None:
        self._path, self._reader, self._decoder = path, reader, decoder
        self.rate, self.channels, self.frames = reader.rate, reader.channels, reader.frames
        self.layout = reader.layout

    def close(self) -> None:
        self._reader.close()

    def blocks(self, start: int, count: int | None) -> Iterator[np.ndarray]:
        """Blocks of the whole file."""
        found = self._decoded()
        if found is None:
            # the first may have been read from
            with SoundFileReader(self._path, self.layout) as reader:
                yield from reader.blocks(start, count)
            return
        size = block_frames(self.channels)
        for first in range(0, len(found), size):
            yield mixed_down(found[first : first + size])

    def _decoded(self) -> np.ndarray | None:
        """(frames, channels), or None where libsndfile has to decode the file."""
        try:
            if not ogg.is_whole(self._path):
                return None
            # absolute: FFmpeg may take a relative name for a protocol
            found = self._decoder(self._path.absolute()).get_all_samples().data.numpy().T
        except Exception:  # C++ errors of the library have several types
            return None
        return found if self._matches_libsndfile(found) else None

    def _matches_libsndfile(self, found: np.ndarray) -> bool:
        """Compare the first block; a silent one cannot show a shift."""
        if found.shape != (self.frames, self.channels):
            return False
        first = found[: block_frames(self.channels)]
        expected = np.empty_like(first, order="C")
        if len(self._reader._block(expected)) < len(first):
            return False
        mono = mixed_down(expected)  # decoders order more than two channels differently
        loud = float(np.abs(mono).max()) > 100 * _SAME
        return loud and float(np.abs(mixed_down(first) - mono).max()) <= _SAME


@cache
def vorbis_decoder() -> Any:
    """torchcodec's decoder, or None."""
    try:
        return torchcodec_decoder()
    except Exception:  # a broken installation raises any type
        return None
