"""Encoders with the common API of HEAR 2021 (Turian et al. 2022)."""

import importlib

import torch

from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.probing.encoders import BaselineOptions, digest, weights_hash


class HearModule:
    """`hear:MODULE` or `hear:MODULE:WEIGHTS`: scene embeddings of a module."""

    window = None

    def __init__(self, options: BaselineOptions) -> None:
        module, _, weights = options.argument.partition(":")
        try:
            self._api = importlib.import_module(module)
            self.network = self._api.load_model(weights) if weights else self._api.load_model()
            self.sample_rate = int(self.network.sample_rate)
        except Exception as error:  # of any type: the module is not this package's
            raise SslAudioError(f"{options.name}: cannot be loaded: {first_line(error)}") from error
        version = getattr(self._api, "__version__", "")
        self.key = digest(module, version, weights, weights_hash(self.network), self.sample_rate)

    def __call__(self, waveforms: torch.Tensor) -> torch.Tensor:
        return self._api.get_scene_embeddings(waveforms, self.network)
