"""The encoder: from a waveform to an embedding, and from and to its folder."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import ModelHubMixin
from torch import Tensor, nn

from ssl_audio.audio.logmel import LogMel
from ssl_audio.io.errors import CheckpointError
from ssl_audio.io.model_folder import (
    CONFIG,
    WEIGHTS,
    ModelFolder,
    read_model_folder,
    write_model_folder,
)
from ssl_audio.models.backbone import RESNET, create_backbone, fold_batch_norms
from ssl_audio.models.embedder import MIN_FRAMES, Embedder, Embedding, padded, shortest_input
from ssl_audio.models.extraction import FileEmbedding, embed_files
from ssl_audio.models.hub import (
    FEATURE_EXTRACTOR,
    MODEL_TYPE,
    PREPROCESSOR,
    card_for_hub,
    local_folder,
)
from ssl_audio.models.shipped import shipped_folder

KIND = "encoder"


class Encoder(nn.Module, ModelHubMixin):
    """Log-mel front end and backbone: mono waveform at `sample_rate` to embedding.

    `save_pretrained(folder)` writes the folder that `load_encoder` reads and leaves other files in
    it alone; `push_to_hub(repo_id, private=..., token=...)` uploads it.

    Attributes:
        frontend: the log-mel.
        backbone: the network.
        sample_rate: Hz.
        segment: length of the segments that it was trained on, seconds.
        embedding_size: dimensions of the embedding.
        card, metadata: text and JSON values of the folder that it was read from; else empty.
    """

    def __init__(
        self, frontend: LogMel, backbone: nn.Module, backbone_name: str, embedding_size: int,
        segment: float, pool: str = "default",
    ) -> None:  # fmt: skip
        super().__init__()
        self.frontend = frontend
        # 1.9 times as fast on a CPU, and the layout of a GPU's tensor cores
        self.backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.backbone_name = backbone_name
        self.embedding_size = embedding_size
        self.segment, self.pool = segment, pool
        self.sample_rate = frontend.sample_rate
        self.card, self.metadata = "", dict[str, Any]()

    def forward(self, waveform: Tensor) -> Tensor:
        """Embed a batch, to (batch, embedding_size).

        Args:
            waveform: (batch, samples) floating point, -1 to 1, at `sample_rate`; any length, for
                networks of a fixed length up to a segment.

        Raises:
            ValueError: another shape or type.
            SslAudioError: a longer waveform than the network takes.
        """
        return self.backbone(self.logmel(waveform))

    def logmel(self, waveform: Tensor) -> Tensor:
        """The network's input, (batch, 1, n_mels, frames), for what `forward` takes."""
        shortest = shortest_input(self.backbone, self.frontend, self.segment)
        return self.frontend(padded(waveform, shortest))

    def embed(
        self, waveform: np.ndarray | Tensor, sample_rate: int | None = None,
        hop: float | None = None,
    ) -> Embedding:  # fmt: skip
        """Embed one waveform of any length by its segments: see `Embedder.embed`.

        >>> encoder = build_encoder(embedding_size=16).eval()
        >>> stereo = np.zeros((44_100 * 6, 2), dtype=np.int16)
        >>> encoder.embed(stereo, sample_rate=44_100).segments.shape
        (2, 16)
        """
        return self.embedder().embed(waveform, sample_rate, hop)

    def embed_file(self, path: str | Path, hop: float | None = None) -> Embedding:
        """Embed an audio file of any format, sample rate and length: see `Embedder.embed_file`."""
        return self.embedder().embed_file(path, hop)

    def embed_files(
        self, paths: Iterable[str | Path], hop: float | None = None, workers: int | None = None,
        progress: bool = True,
    ) -> Iterator[FileEmbedding]:  # fmt: skip
        """Embed many files, in their order, on all processors.

        Args:
            paths: the files.
            hop: as in `embed_file`.
            workers: files at a time; None is the number of processors.
            progress: show a progress bar on standard error.

        Yields:
            One result a file; a file that cannot be read has an `error` instead of an embedding.
        """
        return embed_files(self.folded(), list(paths), hop, workers, progress)

    def folded(self) -> Embedder:
        """A copy for embedding, a quarter faster: batch norms are merged into the convolutions.

        Its embeddings equal this encoder's in evaluation mode up to rounding.
        """
        frontend = copy.deepcopy(self.frontend)  # the copy may go to another device
        network = fold_batch_norms(self.backbone).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Embedder(frontend, network, self.segment)

    def embedder(self) -> Embedder:
        """This encoder's front end and network for embedding, not copied.

        Raises:
            ValueError: the encoder is in training mode.
        """
        if self.training:
            raise ValueError("embedding needs evaluation mode: call encoder.eval() first")
        return Embedder(self.frontend, self.backbone, self.segment)

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights and of the configuration: equal for equal embeddings."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of `build_encoder` for an encoder of the same architecture, as JSON values."""
        return {"frontend": self.frontend.settings, "backbone": self.backbone_name,
                "embedding_size": self.embedding_size, "segment": self.segment,
                **({} if self.pool == "default" else {"pool": self.pool})}  # fmt: skip

    def save(
        self, folder: str | Path, card: str, metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the encoder's folder in one step: weights, configuration and model card.

        With `ssl_audio.adapters.transformers` imported, `AutoModel.from_pretrained` reads it too.

        Args:
            folder: replaced if it exists.
            card: the text of its README.md.
            metadata: further JSON values for config.json.
        """
        arrays = {k: v.detach().cpu().contiguous().numpy() for k, v in self.state_dict().items()}
        config = {
            "model_type": MODEL_TYPE, "encoder": self.settings, "metadata": dict(metadata or {})
        }  # fmt: skip
        extractor = {"feature_extractor_type": FEATURE_EXTRACTOR, "sampling_rate": self.sample_rate}
        model = ModelFolder(config, arrays, card, {PREPROCESSOR: extractor})
        return write_model_folder(folder, KIND, model)

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
        """Read an encoder, in evaluation mode, from a folder, or else from the Hugging Face Hub.

        Args:
            pretrained_model_name_or_path: a folder, or a repository's OWNER/NAME.
            force_download: download what is in the cache too.
            token: of the Hub; default is the one that `hf auth login` keeps.
            cache_dir: folder of the downloads.
            local_files_only: use the cache only.
            revision: branch, tag or commit.

        Raises:
            CheckpointError: neither a folder nor a repository, or a damaged one.
        """
        folder = local_folder(
            str(pretrained_model_name_or_path), force_download=force_download, token=token,
            cache_dir=cache_dir, local_files_only=local_files_only, revision=revision,
        )  # fmt: skip
        return load_encoder(folder)

    def _save_pretrained(self, save_directory: Path) -> None:
        target = Path(save_directory)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            written = self.save(Path(folder) / "encoder", card_for_hub(self.card), self.metadata)
            # the configuration last: it has the weights' checksum
            for file in sorted(written.iterdir(), key=lambda file: file.suffix == ".json"):
                os.replace(file, target / file.name)


def build_encoder(
    frontend: str | Mapping[str, Any] = "default", backbone: str = RESNET,
    embedding_size: int = 1024, segment: float = 4.0, pool: str = "default",
) -> Encoder:  # fmt: skip
    """A new encoder; its weights are drawn from torch's generator.

    Args:
        frontend: "default", "normalized", "released", or arguments of `LogMel`.
        backbone: "resnet" or a timm model's name.
        embedding_size: dimensions of the embedding.
        segment: seconds; inputs of other lengths work too, but for some timm models.
        pool: "default", or "mean": the embedding is of the mean of a transformer's patches.

    Raises:
        SslAudioError: no such front end or backbone.
    """
    logmel = LogMel.named(frontend) if isinstance(frontend, str) else LogMel(**frontend)
    samples = max(round(segment * logmel.sample_rate), MIN_FRAMES * logmel.hop)
    frames = logmel.frames(samples)
    network = create_backbone(backbone, embedding_size, logmel.n_mels, frames, pool)
    return Encoder(logmel, network, backbone, embedding_size, segment, pool)


def load_encoder(path: str | Path) -> Encoder:
    """Read an encoder, in evaluation mode: a folder, or the name of one that the package ships.

    These are "contrastive" (self-supervised), "distilled" (of musicnn, which others trained with
    tags), and "best", the one with the higher figures: "distilled". Nothing is unpickled.

    Raises:
        CheckpointError: no folder, a damaged one, or one of another architecture.
    """
    folder = shipped_folder(str(path)) or Path(path)
    if folder.suffix == ".ckpt":
        advice = "load the folder encoder/ beside it"
        raise CheckpointError(f"{folder} is for resuming a run (ckpt_path=); {advice}")
    read = read_model_folder(folder, KIND)
    try:
        encoder = build_encoder(**read.config["encoder"])
    except (TypeError, KeyError) as error:
        raise CheckpointError(f"{folder / CONFIG} is damaged: {error}") from error
    state = {name: torch.from_numpy(array) for name, array in read.arrays.items()}
    _check_architecture(folder / WEIGHTS, state, encoder.state_dict())
    encoder.load_state_dict(state)
    metadata = read.config.get("metadata")
    encoder.metadata = metadata if isinstance(metadata, dict) else {}
    encoder.card = read.card
    return encoder.eval()


def _check_architecture(
    weights: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    differing = sorted(set(state) ^ set(expected)) or sorted(
        name for name in state if state[name].shape != expected[name].shape
    )
    if differing:
        raise CheckpointError(
            f"{weights} holds another architecture than its {CONFIG} says: "
            f"{len(differing)} tensors differ, the first is {differing[0]}"
        )
