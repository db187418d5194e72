"""Encoder folders on the Hugging Face Hub: the same files there and here."""

import os
from typing import Any

from ssl_audio.io.errors import CheckpointError, first_line
from ssl_audio.io.model_folder import CARD, CONFIG, WEIGHTS

# what transformers needs to find the classes of ssl_audio.adapters.transformers
MODEL_TYPE, FEATURE_EXTRACTOR = "ssl_audio", "SslAudioFeatureExtractor"
PREPROCESSOR = "preprocessor_config.json"
HUB_OPTIONS = ("force_download", "token", "cache_dir", "local_files_only", "revision")

HEADER = """---
library_name: ssl_audio
pipeline_tag: feature-extraction
tags:
- audio
- music
- self-supervised-learning
---
"""
BODY = """# Audio encoder

16 kHz mono waveform to embedding.

```python
from ssl_audio import Encoder

encoder = Encoder.from_pretrained("NAME/OF_THIS_REPOSITORY")  # or the path of this folder
embedding = encoder.embed_file("song.mp3").track
```
"""


def local_folder(name: str, **options: Any) -> str:
    """A folder, or the cached download of a repository OWNER/NAME.

    Raises:
        CheckpointError: no such folder, and the repository cannot be downloaded.
    """
    if os.path.exists(name) or name.count("/") != 1:
        return name
    import huggingface_hub

    try:
        patterns = [WEIGHTS, CONFIG, CARD]
        return huggingface_hub.snapshot_download(name, allow_patterns=patterns, **options)
    except Exception as error:  # of many types: no network, no such repository, a private one
        raise CheckpointError(
            f"{name}: no such folder, and not read from the Hugging Face Hub ({first_line(error)})"
        ) from error


def card_for_hub(card: str) -> str:
    """A model card with the metadata header of the Hub."""
    text = card or BODY
    return text if text.startswith("---") else HEADER + text
