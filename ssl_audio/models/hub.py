"""Checkpoint folders on the Hugging Face Hub: the same three files, there and here."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelHubMixin

from ssl_audio.io.errors import CheckpointError

if TYPE_CHECKING:
    from ssl_audio.models.encoder import Encoder

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


class HubFolder(ModelHubMixin):
    """`save_pretrained`, `from_pretrained` and `push_to_hub` of an encoder.

    `save_pretrained(folder)` writes the folder that `load_encoder` reads and leaves other files in
    it alone; `push_to_hub(repo_id, private=..., token=...)` uploads it.
    """

    if TYPE_CHECKING:
        card: str
        metadata: dict[str, Any]

        def save(self, folder: Path, card: str, metadata: Mapping[str, Any]) -> Path: ...

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> Encoder:
        """Read an encoder from a folder, without a network, or else from the Hub.

        Args:
            pretrained_model_name_or_path: a checkpoint folder, or a repository's OWNER/NAME.
            force_download: even what is in the cache.
            token: of the Hub; default is the one that `hf auth login` keeps.
            cache_dir: where downloads lie.
            local_files_only: take what is in the cache.
            revision: branch, tag or commit.

        Returns:
            The encoder, in evaluation mode.

        Raises:
            CheckpointError: neither a folder nor a repository, or a damaged one.
        """
        return cls._from_pretrained(
            model_id=str(pretrained_model_name_or_path),
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
        )

    @classmethod
    def _from_pretrained(  # type: ignore[override]
        cls, *, model_id: str, **options: Any
    ) -> Encoder:
        from ssl_audio.models.encoder import load_encoder

        is_repository = not os.path.exists(model_id) and model_id.count("/") == 1
        return load_encoder(_download(model_id, options) if is_repository else model_id)

    def _save_pretrained(self, save_directory: Path) -> None:
        card = self.card or BODY
        if not card.startswith("---"):  # the Hub reads what a model is from a header
            card = HEADER + card
        target = Path(save_directory)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            written = self.save(Path(folder) / "encoder", card, self.metadata)
            # the configuration last: it has the weights' checksum
            for file in sorted(written.iterdir(), key=lambda file: file.suffix == ".json"):
                os.replace(file, target / file.name)


def _download(repository: str, options: Mapping[str, Any]) -> str:
    """The folder in the cache that holds a repository's three files."""
    import huggingface_hub

    from ssl_audio.models.encoder import CARD, CONFIG, WEIGHTS

    try:
        return huggingface_hub.snapshot_download(
            repository, allow_patterns=[WEIGHTS, CONFIG, CARD], **options
        )
    except Exception as error:  # of many types: no network, no such repository, a private one
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise CheckpointError(
            f"{repository}: no such folder, and not read from the Hugging Face Hub "
            f"({lines[0] if lines else type(error).__name__})"
        ) from error
