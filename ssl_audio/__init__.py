"""Self-supervised audio representations: train an encoder on unlabelled music, measure and use it.

>>> import numpy as np, ssl_audio
>>> encoder = ssl_audio.load_encoder("contrastive")
>>> encoder.embed(np.zeros(44_100 * 5), sample_rate=44_100).track.shape
(1024,)
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ssl_audio.io.version import __version__

if TYPE_CHECKING:
    from ssl_audio.io.errors import AudioError, CheckpointError, SslAudioError
    from ssl_audio.models.embedder import Embedding
    from ssl_audio.models.encoder import Encoder, build_encoder, load_encoder
    from ssl_audio.objectives import (
        barlow_twins_loss,
        byol_loss,
        clustering_loss,
        load_projector,
        nt_xent,
        vicreg_loss,
    )
    from ssl_audio.probing.estimator import Probe, load_probe

# ONNX Runtime, which torchmetrics imports where it is installed, otherwise reports to its maker
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# where each public name is defined: imported on first use, since torch takes a second
_MODULES = {
    **dict.fromkeys(("AudioError", "CheckpointError", "SslAudioError"), "io.errors"),
    **dict.fromkeys(("Encoder", "build_encoder", "load_encoder"), "models.encoder"),
    "Embedding": "models.embedder",
    **dict.fromkeys(("Probe", "load_probe"), "probing.estimator"),
    **dict.fromkeys(
        (
            "barlow_twins_loss",
            "byol_loss",
            "clustering_loss",
            "load_projector",
            "nt_xent",
            "vicreg_loss",
        ),
        "objectives",
    ),
}
__all__ = [
    "AudioError", "CheckpointError", "Embedding", "Encoder", "Probe", "SslAudioError",
    "__version__", "barlow_twins_loss", "build_encoder", "byol_loss", "clustering_loss",
    "load_encoder", "load_probe", "load_projector", "nt_xent", "vicreg_loss",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
