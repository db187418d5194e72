"""A network that takes waveforms, as an encoder of tracks."""

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ssl_audio.models.embedder import segments
from ssl_audio.probing.encoders import digest

BATCH = 16  # windows computed at a time


class Network(Protocol):
    """What a kind of network implements; it is made from `BaselineOptions`.

    Attributes:
        key: hash of everything that determines its outputs, which are cached by it.
        sample_rate: of the waveforms that it takes, Hz.
        window: length of its inputs in a comparison, seconds; None: the whole track is one input.
    """

    key: str
    sample_rate: int
    window: float | None

    def __call__(self, waveforms: Tensor) -> Tensor:
        """(batch, samples) on the CPU to (batch, dimensions); several threads call this at once."""


class WindowedEncoder:
    """The outputs of a network for the windows of a track: a `TrackEncoder`.

    Windows start every `hop` seconds, and the last one ends with the track. A track shorter than a
    window is one, padded with silence.

    Args:
        name: in tables and messages, such as `hf:ORG/MODEL`.
        network: called for windows.
        window, hop: seconds; a window of None is the whole track, a hop of None the window.
    """

    def __init__(
        self, name: str, network: Network, window: float | None, hop: float | None = None
    ) -> None:
        self.name = self.source = name
        self.kind = name.partition(":")[0]
        self.window, self.hop, self.sample_rate = window, hop or window, network.sample_rate
        self.key = digest("windows", network.key, self.window, self.hop)
        self.called = network
        self.network = getattr(network, "network", None)  # the weights, where they are torch's

    @torch.inference_mode()
    def features(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """(windows, dimensions) float32 of a track given in blocks, at `sample_rate`."""
        if self.window is None or self.hop is None:
            whole = torch.from_numpy(np.concatenate(list(blocks)))[None]
            return self.called(whole).float().cpu().numpy()
        length, step = round(self.window * self.sample_rate), round(self.hop * self.sample_rate)
        parts = (part for _, part in segments(blocks, length, max(1, step)))
        rows = [self.called(batch).float().cpu() for batch in _batches(parts, length)]
        return torch.cat(rows).numpy()

    @cached_property
    def size(self) -> int:
        """Dimensions of the output."""
        seconds = 1.0 if self.window is None else self.window
        return self.features([np.zeros(round(seconds * self.sample_rate), np.float32)]).shape[1]


def _batches(parts: Iterator[np.ndarray], length: int) -> Iterator[Tensor]:
    while batch := list(islice(parts, BATCH)):
        yield torch.from_numpy(np.stack([np.pad(part, (0, length - len(part))) for part in batch]))
