"""Encoders with the common API of HEAR 2021 (Turian et al. 2022)."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

import numpy as np
import torch

from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.probing.encoders import BaselineOptions, digest, weights_hash


class HearModule:
    """`hear:MODULE` or `hear:MODULE:WEIGHTS`: scene embeddings of a module."""

    kind = "hear"

    def __init__(self, options: BaselineOptions) -> None:
        self.name = options.name
        self.source, _, weights = options.argument.partition(":")
        try:
            self._api = importlib.import_module(self.source)
            self.network = self._api.load_model(weights) if weights else self._api.load_model()
            self.sample_rate = int(self.network.sample_rate)
        except Exception as error:  # of any type: the module is not this package's
            raise SslAudioError(f"{self.name}: cannot be loaded: {first_line(error)}") from error
        version = getattr(self._api, "__version__", "")
        self.key = digest(
            self.source, version, weights, weights_hash(self.network), self.sample_rate
        )

    def features(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        return self.embed(torch.from_numpy(np.concatenate(list(blocks)))[None]).numpy()

    @torch.inference_mode()
    def embed(self, waveforms: torch.Tensor) -> torch.Tensor:
        """(batch, samples) at `sample_rate` to (batch, dimensions) float32, on the CPU."""
        return self._api.get_scene_embeddings(waveforms, self.network).float().cpu()
