"""Encoders in mteb, whose audio benchmark is MAEB: a model for `mteb.evaluate`.

```python
import mteb
from ssl_audio.adapters.mteb import MtebEncoder

mteb.evaluate(MtebEncoder("contrastive"), mteb.get_tasks(["GTZANGenre"]))
```
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder

from ssl_audio.io.version import __version__
from ssl_audio.models.encoder import Encoder
from ssl_audio.models.shipped import shipped_folder


class MtebEncoder(AbsEncoder):
    """Embeddings of audio of any length and sample rate, the mean over segments.

    Args:
        model_name: folder, repository OWNER/NAME, or the name of a shipped encoder.
        revision: of a repository.
        device: of torch; None: the processor.

    Raises:
        CheckpointError: the encoder cannot be read.
    """

    def __init__(
        self, model_name: str, revision: str | None = None, device: str | None = None, **_: Any
    ) -> None:
        folder = shipped_folder(model_name) or model_name
        self.model = Encoder.from_pretrained(folder, revision=revision).to(device or "cpu")
        self.mteb_model_meta = _meta(self.model, str(model_name), revision)

    def encode(self, inputs: Any, **_: Any) -> np.ndarray:
        """(items, embedding_size) for batches with a list `audio`, of arrays and sampling rates.

        Raises:
            ValueError: batches without audio.
        """
        embedder, rows = self.model.embedder(), []
        for batch in inputs:
            if "audio" not in batch:
                raise ValueError(f"batches have no audio, but {', '.join(batch)}")
            for one in batch["audio"]:
                samples, rate = np.asarray(one["array"]), one["sampling_rate"]
                rows.append(embedder.embed(samples, rate).track)
        return np.stack(rows)


def _meta(encoder: Encoder, name: str, revision: str | None) -> ModelMeta:
    """What mteb notes beside its results, which it keeps by name and revision."""
    weights = sum(one.numel() for one in encoder.parameters())
    known = name if name.count("/") == 1 else f"ssl_audio/{name.strip('/').replace('/', '_')}"
    return ModelMeta(
        loader=MtebEncoder, name=known, revision=revision or encoder.weights_hash,
        release_date=None, languages=None, n_parameters=weights,
        memory_usage_mb=weights * 4 / 2**20, max_tokens=None, embed_dim=encoder.embedding_size,
        license="mit", open_weights=True, public_training_code=f"ssl_audio {__version__}",
        public_training_data=None, framework=["PyTorch"], similarity_fn_name="cosine",
        use_instructions=False, training_datasets=None, modalities=["audio"],
    )  # fmt: skip
