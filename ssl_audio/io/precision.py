"""Which precisions a device is made for."""

import torch


def multiplies_bfloat16(device: str) -> bool:
    """True if a device type, "cuda" or "cpu", has instructions for products in bfloat16."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()
