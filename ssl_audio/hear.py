"""The HEAR 2021 common API: `load_model`, `get_scene_embeddings`, `get_timestamp_embeddings`.

See Turian et al. 2022, "HEAR: Holistic evaluation of audio representations". Audio
is mono at the `sample_rate` of the model.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl_audio.io.console import warn
from ssl_audio.models.encoder import Encoder, build_encoder, load_encoder

HOP_MS = 50.0
BATCH = 32  # windows at a time: bounds memory for audio of any length


class HearModel(nn.Module):
    """An encoder with the attributes that HEAR requires.

    Attributes:
        encoder: the wrapped encoder, in evaluation mode.
        sample_rate: Hz that audio must have.
        scene_embedding_size, timestamp_embedding_size: dimensions of the embeddings.
        hop_ms: distance of the timestamps, milliseconds.
    """

    def __init__(self, encoder: Encoder, hop_ms: float = HOP_MS) -> None:
        super().__init__()
        self.encoder = encoder
        self.hop_ms = hop_ms
        self.sample_rate = int(encoder.sample_rate)
        self.scene_embedding_size = int(encoder.embedding_size)
        self.timestamp_embedding_size = int(encoder.embedding_size)


def load_model(model_file_path: str = "", **options: Any) -> HearModel:
    """Load a checkpoint folder.

    Args:
        model_file_path: the folder; without one the encoder is untrained, from seed 0, and warns.
        options: `hop_ms`, the distance of the timestamps.

    Raises:
        CheckpointError: the folder cannot be read.
    """
    if model_file_path:
        encoder = load_encoder(model_file_path)
    else:
        warn("no model_file_path was given: this encoder is untrained")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            encoder = build_encoder()
    return HearModel(encoder, **options).eval()


def get_scene_embeddings(audio: Tensor, model: HearModel) -> Tensor:
    """One embedding a sound: (n, samples) to (n, scene_embedding_size) float32.

    The mean over the segments, as `Encoder.embed`; a sound shorter than a segment is padded.
    """
    _check(audio)
    device = audio.device
    rows = [model.encoder.embed(sound.cpu()).track for sound in audio]
    return torch.stack([torch.from_numpy(row) for row in rows]).float().to(device)


@torch.inference_mode()
def get_timestamp_embeddings(audio: Tensor, model: HearModel) -> tuple[Tensor, Tensor]:
    """Embeddings of windows centred on regular timestamps.

    Args:
        audio: (n, samples).
        model: from `load_model`.

    Returns:
        (n, T, timestamp_embedding_size) float32, and (n, T) milliseconds from 0 in steps of
        `hop_ms`, the last within the audio. Windows are a segment long; what lies outside the
        audio is silence.
    """
    _check(audio)
    encoder = model.encoder
    length = round(encoder.segment * encoder.sample_rate)
    hop = model.hop_ms / 1000 * encoder.sample_rate
    count = int((audio.shape[1] - 1) // hop) + 1
    padded = F.pad(audio, (length // 2, length - length // 2))
    starts = [round(index * hop) for index in range(count)]
    device = next(encoder.parameters()).device
    windows = [(row, start) for row in range(len(audio)) for start in starts]
    rows = []
    for first in range(0, len(windows), BATCH):
        part = [padded[row, start : start + length] for row, start in windows[first:][:BATCH]]
        rows.append(encoder(torch.stack(part).float().to(device)).float().to(audio.device))
    embeddings = torch.cat(rows).unflatten(0, (len(audio), count))
    times = torch.arange(count, device=audio.device, dtype=torch.float32) * model.hop_ms
    return embeddings, times.expand(len(audio), count)


def _check(audio: Tensor) -> None:
    if audio.ndim != 2 or not audio.shape[1] or not audio.is_floating_point():
        raise ValueError(f"audio is (n, samples) of floats, not {tuple(audio.shape)} {audio.dtype}")
