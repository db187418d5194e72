"""musicnn, a network that was trained with supervision on music tags (Pons & Serra 2019)."""

from collections.abc import Iterable

import numpy as np
import torch

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.musicnn import Outputs, load_musicnn
from ssl_audio.probing.encoders import BaselineOptions, digest, weights_hash

OUTPUTS = ("pooled", *Outputs._fields)


class MusicnnTagger:
    """`musicnn`, `musicnn:FOLDER` or `musicnn:FOLDER:OUTPUT`: an output for each patch.

    Without an output: "pooled", the mean and maximum over time of all layers (1506 dimensions).
    """

    kind = "musicnn"
    sample_rate = SAMPLE_RATE

    def __init__(self, options: BaselineOptions) -> None:
        self.name = options.name
        folder, _, output = options.argument.partition(":")
        self.source, self._output = folder or "musicnn", output or "pooled"
        if self._output not in OUTPUTS:
            raise SslAudioError(f"{self.name}: {output} is none of {', '.join(OUTPUTS)}")
        self.network, self._hop = load_musicnn(self.source), options.hop
        self.key = digest(weights_hash(self.network), self._output, options.hop)

    def features(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        found = self.network.embed(torch.from_numpy(np.concatenate(list(blocks))), self._hop)
        return getattr(found, self._output).numpy()
