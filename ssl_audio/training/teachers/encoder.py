"""An encoder of this package as a teacher, such as a larger one or the result of another run."""

from torch import Tensor

from ssl_audio.models.encoder import load_encoder
from ssl_audio.models.runtime import for_embedding
from ssl_audio.probing.encoders import BaselineOptions


class EncoderTeacher:
    """`FOLDER` or the name of a shipped encoder: its embeddings."""

    window = None

    def __init__(self, options: BaselineOptions) -> None:
        encoder = load_encoder(options.argument)
        self.key, self.sample_rate = encoder.weights_hash, encoder.sample_rate
        self._embedder = for_embedding(encoder, runtime="torch")

    def __call__(self, waveforms: Tensor) -> Tensor:
        return self._embedder(waveforms.to(self._embedder.frontend.window.device))
