"""Pretrained networks of timm."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.audio.logmel import LogMel
from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.models.embedder import segments
from ssl_audio.probing.encoders import BaselineOptions, digest, weights_hash

SEGMENT = 4.0  # seconds


class TimmModel:
    """`timm:MODEL`: a pretrained image network on log-mel spectrograms of 4 s."""

    kind = "timm"
    sample_rate = SAMPLE_RATE

    def __init__(self, options: BaselineOptions) -> None:
        import timm

        self.name, self.source = options.name, options.argument
        self._length = round(SEGMENT * SAMPLE_RATE)
        self._step = round((options.hop or SEGMENT) * SAMPLE_RATE)
        self._frontend = LogMel.named("default")
        try:
            self.network = timm.create_model(
                options.argument, pretrained=True, in_chans=1, num_classes=0
            ).eval()
        except Exception as error:  # of many types: no such model, no such weights, no network
            raise SslAudioError(f"{self.name}: timm cannot load it: {first_line(error)}") from error
        try:
            self.features([np.zeros(self._length, np.float32)])
        except Exception as error:  # for example a network of another input size
            raise SslAudioError(
                f"{self.name}: it does not take log-mels of 4 s: {first_line(error)}"
            ) from error
        self.key = digest(weights_hash(self.network), options.hop)

    @torch.inference_mode()
    def features(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        rows = []
        for _, part in segments(blocks, self._length, self._step):
            padded = np.pad(part, (0, self._length - len(part)))
            rows.append(self.network(self._frontend(torch.from_numpy(padded)[None])))
        return torch.cat(rows).float().numpy()
