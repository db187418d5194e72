"""Embedding of whole tracks by their segments, with a network that is not being trained."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ssl_audio.audio import isolated
from ssl_audio.audio.logmel import LogMel
from ssl_audio.models.timm_network import PatchedNetwork
from ssl_audio.models.waveforms import mono_waveform

MIN_FRAMES = 32  # the strides of the backbone leave at least one column of so many frames
BATCH = 32  # segments embedded at a time: bounds the memory for a track of any length


@dataclass(frozen=True)
class Embedding:
    """The embedding of one track."""

    track: np.ndarray  # (embedding_size,) mean over the segments
    segments: np.ndarray  # (n, embedding_size)
    times: np.ndarray  # (n,) starts of the segments, seconds


class Embedder:
    """A log-mel front end and a network in evaluation mode. Threads may use one at the same time.

    Args:
        frontend: the log-mel.
        network: log-mels (batch, 1, n_mels, frames) to embeddings (batch, embedding_size).
        segment: length of a segment, seconds.
    """

    def __init__(
        self, frontend: LogMel, network: Callable[[Tensor], Tensor], segment: float
    ) -> None:
        self.frontend = frontend
        self.network = network
        self.segment = segment
        self.sample_rate = frontend.sample_rate

    @torch.inference_mode()
    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) waveforms at `sample_rate` to (batch, embedding_size)."""
        shortest = shortest_input(self.network, self.frontend, self.segment)
        return self.network(self.frontend(padded(waveforms, shortest)))

    def embed(
        self, waveform: np.ndarray | Tensor, sample_rate: int | None = None,
        hop: float | None = None,
    ) -> Embedding:  # fmt: skip
        """Embed one waveform of any length by its segments.

        Segments start every `hop` seconds; the last one ends with the waveform, so that no sample
        is left out. A waveform shorter than a segment is one segment, padded with silence. Where
        segments overlap, the hop is rounded to whole frames of the log-mel (32 ms), which is then
        computed once for all of them.

        Args:
            waveform: (samples,), (channels, samples) or (samples, channels); floating point in -1
                to 1, or integer PCM.
            sample_rate: of the waveform, Hz; default is the encoder's. Other rates are resampled.
            hop: seconds; default is the segment's length.

        Raises:
            ValueError: an empty waveform, another shape or type, NaN or infinite samples, a hop
                that is not positive.
        """
        samples = mono_waveform(waveform, sample_rate or self.sample_rate, self.sample_rate)
        return self.embed_blocks([samples], hop)

    def embed_file(self, path: str | Path, hop: float | None = None) -> Embedding:
        """Embed an audio file of any format, sample rate, channel count and length.

        The same audio always gives the same embedding: segments lie where `embed` puts them. The
        file is read in blocks, in bounded memory (an Ogg Vorbis file of up to six minutes that
        FFmpeg decodes takes up to 270 MiB).

        Raises:
            AudioError: the file cannot be read.
        """
        return self.embed_blocks(isolated.Stream(path, self.sample_rate), hop)

    @torch.inference_mode()
    def embed_blocks(
        self, blocks: Iterable[np.ndarray], hop: float | None = None, batch_size: int = BATCH
    ) -> Embedding:
        """Embed one mono waveform that is given in blocks, as `embed` would the whole of it.

        Args:
            blocks: (samples,) each, at `sample_rate`.
            hop: as in `embed`.
            batch_size: segments at a time; bounds the memory, changes the result by rounding only.
        """
        length = round(self.segment * self.sample_rate)
        step = self._step(hop, length)
        parts = segments(blocks, length, step)
        starts: list[int] = []
        rows: list[np.ndarray] = []
        while batch := list(islice(parts, batch_size)):
            starts += [start for start, _ in batch]
            rows.append(self.network(self._log_mels(batch, length, step)).float().cpu().numpy())
        embeddings = np.concatenate(rows)
        return Embedding(embeddings.mean(0), embeddings, np.array(starts) / self.sample_rate)

    def _step(self, hop: float | None, length: int) -> int:
        """Samples between the starts of segments; whole frames where segments overlap."""
        samples = round((self.segment if hop is None else hop) * self.sample_rate)
        if samples < 1:
            raise ValueError(f"hop={hop}: seconds, above 0")
        if samples < length:
            samples = max(1, round(samples / self.frontend.hop)) * self.frontend.hop
        return samples

    def _log_mels(self, batch: list[tuple[int, np.ndarray]], length: int, step: int) -> Tensor:
        """Log-mels of consecutive segments; the last one may start between two hops."""
        device = self.frontend.window.device
        count = self._overlapping(batch, length, step)
        made = []
        if count:
            first, *others = [part for _, part in batch[:count]]
            run = np.concatenate([first, *(part[-step:] for part in others)])
            made.append(self.frontend.sliding(torch.from_numpy(run).to(device), length, step))
        if rest := batch[count:]:
            waveforms = np.zeros((len(rest), max(length, _min_samples(self.frontend))), np.float32)
            for row, (_, part) in zip(waveforms, rest, strict=True):
                row[: len(part)] = part
            made.append(self.frontend(torch.from_numpy(waveforms).to(device)))
        return torch.cat(made)

    def _overlapping(self, batch: list[tuple[int, np.ndarray]], length: int, step: int) -> int:
        """How many segments of a batch share frames with their neighbours."""
        too_short = length < _min_samples(self.frontend)
        if step >= length or length % self.frontend.hop or too_short or len(batch) < 2:
            return 0
        on_grid = batch[-1][0] - batch[-2][0] == step
        return len(batch) if on_grid else len(batch) - 1


def padded(waveforms: Tensor, shortest: int) -> Tensor:
    """Waveforms with silence appended up to `shortest` samples.

    Raises:
        ValueError: not (batch, samples) of floating-point numbers.
    """
    if waveforms.ndim != 2 or not waveforms.is_floating_point() or not waveforms.shape[-1]:
        raise ValueError(
            "waveforms are (batch, samples) of floats, not "
            f"{tuple(waveforms.shape)} of {waveforms.dtype}; one waveform is waveform[None]"
        )
    missing = shortest - waveforms.shape[-1]
    return nn.functional.pad(waveforms, (0, missing)) if missing > 0 else waveforms


def shortest_input(network: object, frontend: LogMel, segment: float) -> int:
    """Samples below which a waveform is padded: a segment, for networks of a fixed length."""
    one_length = isinstance(network, PatchedNetwork) and network.frames is not None
    samples = round(segment * frontend.sample_rate) if one_length else 0
    return max(samples, _min_samples(frontend))


def _min_samples(frontend: LogMel) -> int:
    return MIN_FRAMES * frontend.hop


def segments(
    blocks: Iterable[np.ndarray], length: int, hop: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Cut a waveform, given in blocks, into segments; memory is a block and a segment.

    Args:
        blocks: (samples,) each, at least one sample in all.
        length, hop: of the segments, samples.

    Yields:
        First sample, and (length,) samples: every `hop`, and one more that ends with the waveform.
        A waveform shorter than a segment is one segment, as short as it is.
    """
    held, offset, start = np.zeros(0, np.float32), 0, 0  # held[0] is the waveform's sample offset
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        while start + length <= offset + len(held):
            yield start, held[start - offset : start - offset + length]
            start += hop
        done = max(0, min(start - offset, len(held) - length))  # the last segment may start there
        held, offset = held[done:], offset + done
    last = max(0, offset + len(held) - length)
    if start - hop != last:
        yield last, held[last - offset :]
