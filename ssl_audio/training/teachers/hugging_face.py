"""A model of the Hugging Face Hub as a teacher, such as MERT or wav2vec 2.0."""

from __future__ import annotations

from importlib.util import find_spec

from torch import Tensor

from ssl_audio.io.errors import SslAudioError, first_line
from ssl_audio.probing.encoders import digest, weights_hash


class HuggingFaceTeacher:
    """`hf:ORG/MODEL` or `hf:FOLDER`: the mean over time of the last hidden state.

    The model takes waveforms, with the normalisation of its feature extractor. Only safetensors
    are read, and no code of the repository is run.
    """

    def __init__(self, name: str) -> None:
        if find_spec("transformers") is None:
            raise SslAudioError(f'teacher=hf:{name}: no transformers: pip install "ssl_audio[hf]"')
        from transformers import AutoFeatureExtractor, AutoModel

        try:
            extractor = AutoFeatureExtractor.from_pretrained(name)
            self._model = AutoModel.from_pretrained(name, use_safetensors=True).eval()
        except Exception as error:  # of many types: no network, no such model, another format
            raise SslAudioError(
                f"teacher=hf:{name}: transformers cannot load it: {first_line(error)}"
            ) from error
        self.sample_rate = int(extractor.sampling_rate)
        self._normalised = bool(getattr(extractor, "do_normalize", False))
        self.key = digest("hf", name, weights_hash(self._model), self._normalised)

    def __call__(self, waveforms: Tensor) -> Tensor:
        if self._normalised:  # as Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm
            centred = waveforms - waveforms.mean(1, keepdim=True)
            waveforms = centred / (centred.square().mean(1, keepdim=True) + 1e-7).sqrt()
        return self._model(input_values=waveforms).last_hidden_state.mean(1)
