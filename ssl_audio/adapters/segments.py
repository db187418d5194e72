"""Embeddings of whole tracks through which gradients flow."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ssl_audio.models.embedder import segments
from ssl_audio.models.encoder import Encoder


def embed_segments(
    encoder: Encoder, waveforms: Tensor, lengths: Sequence[int] | None = None
) -> list[Tensor]:
    """Embed tracks by the segments of `Encoder.embed`: (segments, embedding_size) of each track.

    Args:
        encoder: in training or evaluation mode.
        waveforms: (batch, samples) at the encoder's sample rate.
        lengths: samples of each track, of which the others are padding; None: all.
    """
    size = round(encoder.segment * encoder.sample_rate)
    parts, counts = [], []
    for place, row in enumerate(waveforms):
        track = row if lengths is None else row[: lengths[place]]
        silence = np.zeros(len(track), np.float32)  # in place of the samples, for the starts alone
        starts = [start for start, _ in segments([silence], size, size)]
        padded = torch.nn.functional.pad(track, (0, max(0, size - len(track))))
        parts += [padded[start : start + size] for start in starts]
        counts.append(len(starts))
    return list(encoder(torch.stack(parts)).split(counts))
