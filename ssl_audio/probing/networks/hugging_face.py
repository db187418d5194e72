"""Audio models of the Hugging Face Hub, such as wav2vec 2.0, HuBERT, AST and Whisper."""

import math
from importlib.util import find_spec

from torch import Tensor

from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.probing.encoders import BaselineOptions, digest, weights_hash

WINDOW = 10.0  # seconds


class HuggingFaceModel:
    """`hf:ORG/MODEL` or `hf:FOLDER`: the mean over time of the last hidden state.

    The model's own feature extractor prepares its input. Of a model with a decoder, such as
    Whisper, the encoder is used. Only safetensors are read, and no code of the repository is run,
    so that models which need their own code are refused.
    """

    def __init__(self, options: BaselineOptions) -> None:
        name = options.argument
        if find_spec("transformers") is None:
            raise SslAudioError(f'{options.name}: no transformers: pip install "ssl_audio[hf]"')
        from transformers import AutoFeatureExtractor, AutoModel

        try:
            found = AutoFeatureExtractor.from_pretrained(name, trust_remote_code=False)
            model = AutoModel.from_pretrained(name, use_safetensors=True, trust_remote_code=False)
            self.sample_rate = int(found.sampling_rate)
        except Exception as error:  # of many types: no network, no such model, another format
            raise SslAudioError(
                f"{options.name}: transformers cannot load it: {first_line(error)}"
            ) from error
        self._extractor, decodes = found, model.config.is_encoder_decoder
        self.network = (model.get_encoder() if decodes else model).eval()
        self._padded = getattr(found, "n_samples", 0)  # Whisper's length of each input
        self.window = self._padded / self.sample_rate or WINDOW
        self.key = digest("hf", weights_hash(self.network), found.to_dict())

    def __call__(self, waveforms: Tensor) -> Tensor:
        found = self._extractor(
            list(waveforms.numpy()), sampling_rate=self.sample_rate, return_tensors="pt"
        )
        name = self.network.main_input_name
        states = self.network(**{name: found[name]}).last_hidden_state
        if self._padded:  # what follows is of silence
            states = states[:, : math.ceil(states.shape[1] * waveforms.shape[1] / self._padded)]
        return states.mean(1)
