"""Image networks of timm on log-mel spectrograms."""

import torch
from torch import Tensor

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.audio.logmel import LogMel
from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.probing.encoders import BaselineOptions, digest, weights_hash

RANDOM = "random"


class TimmModel:
    """`timm:MODEL`: a pretrained image network on log-mels; `timm:MODEL:random`: without training.

    Weights come from timm's cache or the Hugging Face Hub.
    """

    sample_rate, window = SAMPLE_RATE, 4.0

    def __init__(self, options: BaselineOptions) -> None:
        import timm

        model, _, weights = options.argument.partition(":")
        if weights not in ("", RANDOM):
            raise SslAudioError(f"{options.name}: timm:MODEL or timm:MODEL:{RANDOM}")
        self._frontend = LogMel.named("default")
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(options.seed)
                self.network = timm.create_model(
                    model, pretrained=not weights, in_chans=1, num_classes=0
                ).eval()
        except Exception as error:  # of many types: no such model, no such weights, no network
            raise SslAudioError(
                f"{options.name}: timm cannot load it: {first_line(error)}"
            ) from error
        try:
            with torch.inference_mode():
                self(torch.zeros(1, round(self.window * SAMPLE_RATE)))
        except Exception as error:  # for example a network of another input size
            raise SslAudioError(
                f"{options.name}: it does not take log-mels of 4 s: {first_line(error)}"
            ) from error
        self.key = digest("timm", weights_hash(self.network))

    def __call__(self, waveforms: Tensor) -> Tensor:
        return self.network(self._frontend(waveforms))
