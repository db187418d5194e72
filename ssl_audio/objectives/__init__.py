"""Objectives of self-supervised training: six losses, as functions and as classes."""

from ssl_audio.objectives.barlow_twins import BarlowTwins, barlow_twins_loss
from ssl_audio.objectives.byol import BYOL, byol_loss
from ssl_audio.objectives.clustering import Clustering, clustering_loss
from ssl_audio.objectives.contrastive import Contrastive, nt_xent
from ssl_audio.objectives.masked import Masked, masked_loss
from ssl_audio.objectives.objective import LossOutput, Objective
from ssl_audio.objectives.projector import load_projector
from ssl_audio.objectives.vicreg import VICReg, vicreg_loss

__all__ = [
    "BYOL", "BarlowTwins", "Clustering", "Contrastive", "LossOutput", "Masked", "Objective",
    "VICReg", "barlow_twins_loss", "byol_loss", "clustering_loss", "load_projector",
    "masked_loss", "nt_xent", "vicreg_loss",
]  # fmt: skip
