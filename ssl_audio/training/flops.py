"""Model FLOPs of a step, and their share of what a GPU could compute (MFU).

Chowdhery et al. 2022, "PaLM: Scaling Language Modeling with Pathways", appendix B: the FLOPs that
the networks need, whatever else a step computes (log-mels, chunks that are embedded again), per
second, divided by the device's peak.
"""

import copy
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ssl_audio.training.module import VIEWS, PretrainModule, Teacher

BACKWARD = 2  # times the FLOPs of the forward pass: gradients of inputs and of weights

# FLOP/s in bfloat16 or float16 on dense matrices, accumulated in float32, by words of the name; the
# first that fits. From the data sheets, whose larger figures are for sparse matrices.
PEAKS = {
    "B200": 2250e12, "H200": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12,
    "A100": 312e12, "L40S": 362e12, "L40": 181e12, "L4": 121e12, "A40": 150e12, "A10G": 70e12,
    "A10": 125e12, "RTX A6000": 155e12, "V100-PCIE": 112e12, "V100": 125e12, "T4": 65e12,
}  # fmt: skip


def peak_of(device: torch.device, precision: str) -> float | None:
    """Peak FLOP/s of a device; None where it is not known.

    Args:
        device: of the training.
        precision: Lightning's; only that of mixed precision has one known peak, since a GPU
            computes some float32 operations in TF32.
    """
    if device.type != "cuda" or precision not in ("bf16-mixed", "16-mixed"):
        return None
    name = torch.cuda.get_device_name(device)
    if "MIG" in name:  # a part of a GPU
        return None
    return next((peak for part, peak in PEAKS.items() if re.search(rf"\b{part}\b", name)), None)


def flops_of_step(module: PretrainModule, batch: Mapping[str, Any]) -> float | None:
    """FLOPs of the networks in a step on a batch, counted by torch on tensors without data.

    The student has a forward and a backward pass for each view, an EMA teacher has a forward
    pass for those of the anchor's length. None for an objective of patches: both see a part.
    """
    pairs, samples = batch[VIEWS[0]].shape
    lengths = [samples] * len(VIEWS) + [crop.shape[1] for crop in batch.get("crops", ())]
    objective = module.objective
    if objective.visible is not None:
        return None
    student = [module.encoder.backbone, objective.projector, objective.predictor]
    total = sum(_forward(module, student, length) * (1 + BACKWARD) for length in lengths)
    if isinstance(module.teacher, Teacher):
        teacher = [module.teacher.encoder.backbone, module.teacher.projector]
        total += sum(_forward(module, teacher, n) for n in lengths if n == samples)
    return float(pairs * total)


def _forward(module: PretrainModule, networks: list[nn.Module], samples: int) -> int:
    """FLOPs of a forward pass for one view of one pair."""
    frontend = module.encoder.frontend
    x = torch.empty(1, 1, frontend.n_mels, frontend.frames(samples), device="meta")
    whole = nn.Sequential(*map(copy.deepcopy, networks)).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        whole(x)
    return int(counter.get_total_flops())
