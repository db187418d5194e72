"""Objectives of self-supervised training: five losses as functions and as classes.

Names are imported when first used, so that importing a schedule does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssl_audio.objectives.barlow_twins import BarlowTwins, barlow_twins_loss
    from ssl_audio.objectives.byol import BYOL, byol_loss
    from ssl_audio.objectives.clustering import Clustering, clustering_loss
    from ssl_audio.objectives.contrastive import Contrastive, nt_xent
    from ssl_audio.objectives.objective import LossOutput, Objective
    from ssl_audio.objectives.vicreg import VICReg, vicreg_loss

_MODULES = {
    "BarlowTwins": "barlow_twins", "barlow_twins_loss": "barlow_twins",
    "BYOL": "byol", "byol_loss": "byol",
    "Clustering": "clustering", "clustering_loss": "clustering",
    "Contrastive": "contrastive", "nt_xent": "contrastive",
    "LossOutput": "objective", "Objective": "objective",
    "VICReg": "vicreg", "vicreg_loss": "vicreg",
}  # fmt: skip

__all__ = [
    "BYOL", "BarlowTwins", "Clustering", "Contrastive", "LossOutput", "Objective", "VICReg",
    "barlow_twins_loss", "byol_loss", "clustering_loss", "nt_xent", "vicreg_loss",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
