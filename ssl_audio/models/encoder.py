"""The encoder: waveform to embedding, and the folder that it is kept in."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl_audio.audio import files
from ssl_audio.audio.logmel import LogMel
from ssl_audio.io.atomic import atomic_folder
from ssl_audio.io.errors import CheckpointError
from ssl_audio.models.backbone import RESNET, create_backbone, fold_batch_norms
from ssl_audio.models.hub import HubFolder

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
SMALLEST_SIDE = 32  # frames: what the backbone's strides leave at least one column of
BATCH = 32  # segments embedded at a time: bounds the memory for a track of any length


@dataclass(frozen=True)
class Embedding:
    """What a track becomes.

    Attributes:
        track: (embedding_size,) mean over the segments.
        segments: (n, embedding_size).
        times: (n,) starts of the segments, seconds.
    """

    track: np.ndarray
    segments: np.ndarray
    times: np.ndarray


class Encoder(nn.Module, HubFolder):
    """Log-mel front end and backbone: 16 kHz mono waveform to embedding.

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
        segment: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.frontend = frontend
        # 1.9 times as fast on a CPU, and what the tensor cores of a GPU want
        self.backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.backbone_name = backbone_name
        self.embedding_size = embedding_size
        self.segment = segment
        self.sample_rate: int = frontend.settings["sample_rate"]
        self.card, self.metadata = "", dict[str, Any]()

    def forward(self, waveform: Tensor) -> Tensor:
        """Embed a batch.

        Args:
            waveform: (batch, samples) floating point, -1 to 1, 16 kHz; any length.

        Returns:
            (batch, embedding_size).

        Raises:
            ValueError: another shape or type.
        """
        if waveform.ndim != 2 or not waveform.is_floating_point() or not waveform.shape[-1]:
            raise ValueError(
                "waveform is (batch, samples) of floats, not "
                f"{tuple(waveform.shape)} of {waveform.dtype}; one waveform is waveform[None]"
            )
        missing = SMALLEST_SIDE * self.frontend.hop - waveform.shape[-1]
        if missing > 0:
            waveform = nn.functional.pad(waveform, (0, missing))
        return self.backbone(self.frontend(waveform))

    @torch.inference_mode()
    def embed(self, waveform: np.ndarray | Tensor, hop: float | None = None) -> Embedding:
        """Embed one waveform of any length by its segments.

        Segments start every `hop` seconds; the last one ends with the waveform, so that all of it
        counts. A waveform shorter than a segment is one segment, padded with silence. Where
        segments overlap, the hop is rounded to whole frames of the log-mel (32 ms), which is then
        computed once for all of them.

        Args:
            waveform: (samples,).
            hop: seconds; default is the segment's length.

        Raises:
            ValueError: another shape, or a hop that is not positive.
        """
        samples = torch.as_tensor(waveform).float().cpu().numpy()
        if samples.ndim != 1 or not len(samples):
            raise ValueError(f"waveform is (samples,), not {samples.shape}")
        return self.embed_blocks([samples], hop)

    @torch.inference_mode()
    def embed_file(self, path: str | Path, hop: float | None = None) -> Embedding:
        """Embed an audio file of any format, sample rate, channel count and length.

        The same audio gives the same embedding always: segments lie where `embed` puts them. The
        file is read in blocks, so that its length costs no memory (but for an ogg of up to six
        minutes that FFmpeg decodes: 270 MiB at most).

        Args:
            path: the file.
            hop: seconds between the segments' starts; default is the segment's length.

        Raises:
            AudioError: the file cannot be read.
        """
        return self.embed_blocks(files.stream(path), hop)

    def folded(self) -> Encoder:
        """A copy for inference alone, a quarter faster: batch norms are part of the convolutions.

        Its embeddings equal this encoder's to rounding; it cannot be trained or saved.
        """
        return self.with_network(fold_batch_norms(self.backbone))

    def with_network(self, network: nn.Module) -> Encoder:
        """A copy for inference alone, with what stands for the backbone there."""
        frontend = copy.deepcopy(self.frontend)  # the copy may go to another device
        return Encoder(
            frontend, network, self.backbone_name, self.embedding_size, self.segment
        ).eval()

    def _hop(self, hop: float | None, length: int) -> int:
        samples = round((self.segment if hop is None else hop) * self.sample_rate)
        if samples < 1:
            raise ValueError(f"hop={hop}: seconds, above 0")
        if samples < length:
            samples = max(1, round(samples / self.frontend.hop)) * self.frontend.hop
        return samples

    @torch.inference_mode()
    def embed_blocks(
        self, blocks: Iterable[np.ndarray], hop: float | None = None, batch_size: int = BATCH
    ) -> Embedding:
        """Embed one waveform that is given in blocks, as `embed` would the whole of it.

        Args:
            blocks: (samples,) each.
            hop: as in `embed`.
            batch_size: segments at a time; it bounds the memory, and changes rounding alone.
        """
        was_training = self.training
        self.eval()
        length = round(self.segment * self.sample_rate)
        step = self._hop(hop, length)
        parts = segments(blocks, length, step)
        starts: list[int] = []
        rows: list[np.ndarray] = []
        while batch := list(islice(parts, batch_size)):
            starts += [start for start, _ in batch]
            rows.append(self.backbone(self._log_mels(batch, length, step)).float().cpu().numpy())
        self.train(was_training)
        embeddings = np.concatenate(rows)
        return Embedding(embeddings.mean(0), embeddings, np.array(starts) / self.sample_rate)

    def _log_mels(self, batch: list[tuple[int, np.ndarray]], length: int, step: int) -> Tensor:
        """Of a batch's segments, which follow each other; the last may lie off the grid."""
        device = self.frontend.window.device
        count = self._overlapping(batch, length, step)
        made = []
        if count:
            first, *others = [part for _, part in batch[:count]]
            run = np.concatenate([first, *(part[-step:] for part in others)])
            made.append(self.frontend.sliding(torch.from_numpy(run).to(device), length, step))
        if rest := batch[count:]:
            shortest = SMALLEST_SIDE * self.frontend.hop
            waveforms = np.zeros((len(rest), max(length, shortest)), np.float32)
            for row, (_, part) in zip(waveforms, rest, strict=True):
                row[: len(part)] = part
            made.append(self.frontend(torch.from_numpy(waveforms).to(device)))
        return torch.cat(made)

    def _overlapping(self, batch: list[tuple[int, np.ndarray]], length: int, step: int) -> int:
        """How many of a batch's segments share frames with their neighbours: all, or few, or 0."""
        frame = self.frontend.hop
        if step >= length or length % frame or length < SMALLEST_SIDE * frame or len(batch) < 2:
            return 0
        on_grid = batch[-1][0] - batch[-2][0] == step
        return len(batch) if on_grid else len(batch) - 1

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights and of the configuration: equal for equal embeddings.

        Raises:
            ValueError: a copy `for_embedding`, whose weights are elsewhere.
        """
        if next(self.backbone.parameters(), None) is None:
            raise ValueError("a copy for embedding has no weights: ask the encoder it was made of")
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def settings(self) -> dict[str, Any]:
        """What `build_encoder` needs to make the same encoder, as JSON values."""
        return {
            "frontend": self.frontend.settings,
            "backbone": self.backbone_name,
            "embedding_size": self.embedding_size,
            "segment": self.segment,
        }

    def save(
        self, folder: str | Path, card: str, metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the checkpoint folder: weights, configuration and model card, all or nothing.

        Args:
            folder: replaced if it is there already.
            card: the text of its README.md.
            metadata: further JSON values for config.json.
        """
        from safetensors.torch import save_file

        folder = Path(folder)
        with atomic_folder(folder) as temporary:
            state = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
            save_file(state, temporary / WEIGHTS)
            config = {
                "format": FORMAT,
                "encoder": self.settings,
                "sha256": files.sha256(temporary / WEIGHTS),
                "metadata": dict(metadata or {}),
            }
            (temporary / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
            (temporary / CARD).write_text(card)
        return folder


def segments(
    blocks: Iterable[np.ndarray], length: int, hop: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Cut a waveform, given in blocks, into segments; memory is a block and a segment.

    Args:
        blocks: (samples,) each, at least one sample in all.
        length, hop: of the segments, samples.

    Yields:
        First sample, and (length,) samples: every `hop`, and one more that ends with the waveform.
        A waveform shorter than a segment is one segment, as short as it is.
    """
    held, offset, start = np.zeros(0, np.float32), 0, 0  # held[0] is the waveform's sample offset
    for block in blocks:
        held = np.concatenate([held, block]) if len(held) else block
        while start + length <= offset + len(held):
            yield start, held[start - offset : start - offset + length]
            start += hop
        done = max(0, min(start - offset, len(held) - length))  # the last segment may start there
        held, offset = held[done:], offset + done
    last = max(0, offset + len(held) - length)
    if start - hop != last:
        yield last, held[last - offset :]


def build_encoder(
    frontend: str | Mapping[str, Any] = "default",
    backbone: str = RESNET,
    embedding_size: int = 1024,
    segment: float = 4.0,
) -> Encoder:
    """A new encoder; its weights are drawn from torch's generator.

    Args:
        frontend: "default", "released", or arguments of `LogMel`.
        backbone: "resnet" or a timm model's name.
        embedding_size: dimensions of the embedding.
        segment: seconds; inputs of other lengths work too.

    Raises:
        SslAudioError: no such front end or backbone.
    """
    logmel = LogMel.named(frontend) if isinstance(frontend, str) else LogMel(**frontend)
    frames = logmel.frames(round(segment * logmel.settings["sample_rate"]))
    frames = max(frames, SMALLEST_SIDE)
    network = create_backbone(backbone, embedding_size, logmel.n_mels, frames)
    return Encoder(logmel, network, backbone, embedding_size, segment)


def load_encoder(path: str | Path) -> Encoder:
    """Read a checkpoint folder; nothing in it is unpickled.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        CheckpointError: no folder, a damaged one, or one of another architecture.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(path)
    config = _read_config(folder)
    encoder = _encoder_of(folder, config)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise CheckpointError(f"{folder}: no {WEIGHTS}")
    if files.sha256(weights) != config["sha256"]:
        raise CheckpointError(f"{weights} is damaged: its checksum is not that of {CONFIG}")
    try:
        state = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{weights} is damaged: {error}") from error
    _check_architecture(weights, state, encoder.state_dict())
    encoder.load_state_dict(state)
    metadata = config.get("metadata")
    encoder.metadata = metadata if isinstance(metadata, dict) else {}
    card = folder / CARD
    encoder.card = card.read_text(errors="replace") if card.is_file() else ""
    return encoder.eval()


def _read_config(folder: Path) -> dict[str, Any]:
    if folder.suffix == ".ckpt":
        raise CheckpointError(
            f"{folder} is for resuming a run (ckpt_path=); load the folder encoder/ beside it"
        )
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such checkpoint folder")
    try:
        config = json.loads((folder / CONFIG).read_text())
        config["encoder"], config["sha256"], config["format"]
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: no {CONFIG}; is it a checkpoint folder?") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / CONFIG} is damaged: {error}") from error
    if config["format"] != FORMAT:
        raise CheckpointError(
            f"{folder}: format {config['format']}, and this version reads format {FORMAT}"
        )
    return config


def _encoder_of(folder: Path, config: Mapping[str, Any]) -> Encoder:
    try:
        return build_encoder(**config["encoder"])
    except (TypeError, KeyError) as error:
        raise CheckpointError(f"{folder / CONFIG}: {error}") from error


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
