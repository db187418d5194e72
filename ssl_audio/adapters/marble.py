"""Encoders in MARBLE (Yuan et al. 2023), version 2: `class_path` of a configuration's encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ssl_audio.adapters.segments import embed_segments
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.encoder import load_encoder

MODES = ("freeze", "full")


class MarbleEncoder(nn.Module):
    """One layer of hidden states, an embedding for each segment of a clip.

    MARBLE takes any module that maps a batch of clips to a sequence of layers, so that this file
    does not import it. Its clips must have the encoder's sample rate (`sample_rate: 16000`).

    Args:
        checkpoint: folder or name of an encoder.
        train_mode: "freeze", or "full" to train it with the task.

    Raises:
        SslAudioError: another mode.
        CheckpointError: the encoder cannot be read.
    """

    def __init__(self, checkpoint: str = "contrastive", train_mode: str = "freeze") -> None:
        super().__init__()
        if train_mode not in MODES:
            raise SslAudioError(f"train_mode={train_mode}: {' or '.join(MODES)}")
        self.encoder, self.frozen = load_encoder(checkpoint), train_mode == "freeze"
        self.encoder.requires_grad_(not self.frozen)
        self.sample_rate, self.embedding_dim = self.encoder.sample_rate, self.encoder.embedding_size

    def train(self, mode: bool = True) -> MarbleEncoder:
        """A frozen encoder stays in evaluation mode: its batch norms do not follow the clips."""
        super().train(mode)
        self.encoder.train(mode and not self.frozen)
        return self

    def forward(self, x: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
        """(batch, samples) or (batch, channels, samples) to ((batch, segments, size),)."""
        waveforms = x.mean(1) if x.ndim == 3 else x
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return (torch.stack(embed_segments(self.encoder, waveforms)),)
