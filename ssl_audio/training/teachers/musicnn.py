"""musicnn as a teacher (Pons & Serra 2019), whose published weights come with the package."""

import torch
from torch import Tensor

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.io.precision import multiplies_bfloat16
from ssl_audio.models.musicnn import load_musicnn
from ssl_audio.probing.encoders import BaselineOptions, digest, weights_hash


class MusicnnTeacher:
    """`musicnn` or `musicnn:FOLDER`: mean and maximum over time of all layers, 1506 dimensions.

    In bfloat16 where the processor multiplies it faster; outputs then have two to three digits.
    """

    sample_rate, window = SAMPLE_RATE, None

    def __init__(self, options: BaselineOptions) -> None:
        self._network = load_musicnn(options.argument or "musicnn")
        self._half = multiplies_bfloat16("cpu")
        self.key = digest(weights_hash(self._network), "pooled", self._half)

    def __call__(self, waveforms: Tensor) -> Tensor:
        patches = self._network.log_mel(waveforms)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            return self._network(patches).pooled
