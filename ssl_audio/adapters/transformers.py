"""Encoders in Hugging Face transformers: importing this module registers them.

```python
import ssl_audio.adapters.transformers
from transformers import AutoFeatureExtractor, AutoModel

extractor = AutoFeatureExtractor.from_pretrained(FOLDER)
model = AutoModel.from_pretrained(FOLDER)
model(**extractor(waveforms, sampling_rate=44_100, return_tensors="pt")).pooler_output
```

FOLDER is an encoder's folder or repository; `pooler_output` is the `track` of `Encoder.embed`.
No code of a repository is run, so that `trust_remote_code` is not needed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    BatchFeature,
    PretrainedConfig,
    PreTrainedModel,
    SequenceFeatureExtractor,
)
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ssl_audio.adapters.segments import embed_segments
from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.models.encoder import Encoder, build_encoder
from ssl_audio.models.hub import FEATURE_EXTRACTOR, HUB_OPTIONS, MODEL_TYPE
from ssl_audio.models.waveforms import mono_waveform

REFUSED = ("device_map", "dtype", "torch_dtype", "quantization_config", "subfolder")


class SslAudioConfig(PretrainedConfig):
    """The architecture: `encoder` has the arguments of `build_encoder`."""

    model_type = MODEL_TYPE

    def __init__(self, encoder: dict[str, Any] | None = None, **others: Any) -> None:
        self.encoder = encoder or {}
        super().__init__(**others)


class SslAudioFeatureExtractor(SequenceFeatureExtractor):
    """Waveforms of any sample rate to a padded batch at the encoder's."""

    model_input_names = ["input_values", "attention_mask"]

    def __init__(
        self, feature_size: int = 1, sampling_rate: int = SAMPLE_RATE, padding_value: float = 0.0,
        **others: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            feature_size=feature_size, sampling_rate=sampling_rate, padding_value=padding_value,
            **others,
        )  # fmt: skip

    def __call__(
        self, raw_speech: np.ndarray | Tensor | Sequence[np.ndarray | Tensor],
        sampling_rate: int | None = None, padding: bool | str = True,
        return_tensors: str | None = None, **padding_options: Any,
    ) -> BatchFeature:  # fmt: skip
        """Resample and pad.

        Args:
            raw_speech: (samples,) or (batch, samples), or a list of (samples,) of any lengths.
            sampling_rate: of the waveforms, Hz; None: that of the encoder.
            padding, padding_options: as of `SequenceFeatureExtractor.pad`.
            return_tensors: "pt" or "np".

        Returns:
            `input_values` and `attention_mask`, (batch, samples) each.

        Raises:
            ValueError: a waveform that is empty, not finite, or of another shape.
        """
        one = isinstance(raw_speech, np.ndarray | Tensor) and raw_speech.ndim == 1
        waveforms = [raw_speech] if one else list(raw_speech)
        rate = self.sampling_rate
        rows = [
            mono_waveform(np.asarray(waveform), sampling_rate or rate, rate)
            for waveform in waveforms
        ]
        return self.pad(
            BatchFeature({"input_values": rows}), padding=padding, return_attention_mask=True,
            return_tensors=return_tensors, **padding_options,
        )  # fmt: skip


class SslAudioModel(PreTrainedModel):
    """An encoder, given or new, as a model of transformers, which can be trained further."""

    config_class = SslAudioConfig
    main_input_name = "input_values"

    def __init__(self, config: SslAudioConfig, encoder: Encoder | None = None) -> None:
        super().__init__(config)
        self.encoder = encoder or build_encoder(**config.encoder)

    def forward(
        self, input_values: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> BaseModelOutputWithPooling:
        """Embed tracks by their segments (`embed_segments`).

        Args:
            input_values: (batch, samples) at the encoder's sample rate.
            attention_mask: (batch, samples), 1 for a track's own samples; None: all are.

        Returns:
            `last_hidden_state` (batch, segments, embedding_size), zeros after a track's last
            segment, and `pooler_output` (batch, embedding_size), the mean over a track's segments.
        """
        lengths = None if attention_mask is None else attention_mask.sum(1).tolist()
        by_track = embed_segments(self.encoder, input_values, lengths)
        return BaseModelOutputWithPooling(
            last_hidden_state=torch.nn.utils.rnn.pad_sequence(by_track, batch_first=True),
            pooler_output=torch.stack([own.mean(0) for own in by_track]),
        )

    @classmethod
    def from_pretrained(cls, name: str | Path, *_: Any, config: Any = None, **options: Any) -> Any:  # type: ignore[override]
        """Read an encoder's folder or repository, with the checks of `Encoder.from_pretrained`.

        Raises:
            CheckpointError: neither a folder nor a repository, or a damaged one.
            ValueError: an option that has no meaning for it.
        """
        for key in REFUSED:
            if options.get(key) not in (None, "auto", ""):
                raise ValueError(f"{key}={options[key]}: load the model, then use model.to(...)")
        hub = {key: options[key] for key in HUB_OPTIONS if options.get(key) is not None}
        encoder = Encoder.from_pretrained(name, **hub)
        known = SslAudioConfig(encoder=encoder.settings) if config is None else config
        return cls(known, encoder).eval()

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> None:
        """Write the encoder's folder, which `load_encoder` reads too."""
        self.encoder.save_pretrained(save_directory)


AutoConfig.register(MODEL_TYPE, SslAudioConfig)
AutoFeatureExtractor.register(SslAudioConfig, SslAudioFeatureExtractor)
AutoModel.register(SslAudioConfig, SslAudioModel)
assert SslAudioFeatureExtractor.__name__ == FEATURE_EXTRACTOR
