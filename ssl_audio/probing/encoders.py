"""What is compared: everything that turns a track into features."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import Encoder, load_encoder
from ssl_audio.models.runtime import for_embedding


class TrackEncoder(Protocol):
    """Turns tracks into features.

    Attributes:
        name: in tables; unique in a comparison.
        kind: "checkpoint", "untrained", "features", "musicnn", "finetune", "supervised", or that of
            another package's network (`networks/`).
        source: the folder or name that it was made from.
        key: hash of everything that determines its features, which are cached by it.
        sample_rate: of the waveforms that it takes, Hz.
    """

    name: str
    kind: str
    source: str
    key: str
    sample_rate: int

    def features(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        """The features of one track. Several threads call this at the same time.

        Args:
            blocks: (samples,) each, of a mono waveform at `sample_rate`.

        Returns:
            (segments, dimensions) float32.
        """


@dataclass(frozen=True)
class BaselineOptions:
    """What a baseline is created with.

    Attributes:
        name: the whole word of `baselines=`, such as `timm:resnet18`.
        argument: what follows its colon, or "".
        hop: seconds between the segments of a track; None is a segment's length.
        seed: of random weights.
    """

    name: str
    argument: str = ""
    hop: float | None = None
    seed: int = 0


class FeatureBaseline:
    """Base of baselines without weights; a new `version` invalidates their cached features."""

    kind = "features"
    version = 1
    sample_rate = SAMPLE_RATE

    def __init__(self, options: BaselineOptions) -> None:
        if options.argument:
            raise SslAudioError(f"baselines: {options.name!r} takes nothing after a colon")
        self.name = self.source = options.name
        self.key = digest(options.name, self.version)


class PackageEncoder:
    """An encoder of this package, on the GPU if there is one."""

    def __init__(
        self, name: str, kind: str, source: str, encoder: Encoder, hop: float | None
    ) -> None:
        self.name, self.kind, self.source = name, kind, source
        self.key = digest(encoder.weights_hash, hop)
        self.encoder, self.network, self.hop = encoder, encoder.backbone, hop
        self.sample_rate = encoder.sample_rate
        self._embedder = for_embedding(encoder, runtime="torch")

    def features(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        return self._embedder.embed_blocks(blocks, self.hop).segments


def load_checkpoints(folders: Sequence[Path], hop: float | None) -> list[PackageEncoder]:
    """The encoders of checkpoint folders.

    Raises:
        CheckpointError: a folder cannot be read.
        SslAudioError: one is given twice.
    """
    return [
        PackageEncoder(name, "checkpoint", str(folder), load_encoder(folder), hop)
        for folder, name in zip(folders, _short_names(folders), strict=True)
    ]


def _short_names(folders: Sequence[Path]) -> list[str]:
    """The shortest unique ends of paths, without a last part `encoder`: `runs/a/encoder` is `a`."""
    parts = [[p for p in path.parts if p != "encoder"] or ["encoder"] for path in folders]
    for depth in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(names):
            return names
    if len(set(folders)) < len(folders):
        raise SslAudioError("checkpoint= names the same folder twice")
    return list(map(str, folders))


def digest(*parts: Any) -> str:
    """SHA-256 of JSON values (hex)."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def weights_hash(model: Any) -> str:
    """SHA-256 of a network's weights; the hash of nothing for other objects."""
    found = hashlib.sha256()
    if isinstance(model, torch.nn.Module):
        for key, tensor in sorted(model.state_dict().items()):
            found.update(key.encode())
            found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return found.hexdigest()
