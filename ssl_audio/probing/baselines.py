"""What is compared: encoders from checkpoints, and the baselines that they must beat.

Each is a `System`: a name, and a function from a waveform to features.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.audio.logmel import LogMel
from ssl_audio.io.errors import SslAudioError
from ssl_audio.models.embedder import segments
from ssl_audio.models.encoder import Encoder, build_encoder, load_encoder
from ssl_audio.models.extraction import Features
from ssl_audio.models.runtime import for_embedding

MFCCS = 20
FEATURE_BASELINES = ("mel_statistics", "mfcc")


@dataclass(frozen=True)
class System:
    """One thing that turns tracks into features.

    Attributes:
        name: in tables; unique in a comparison.
        kind: "checkpoint", "untrained", "features", "timm" or "hear".
        source: folder or name that it was made from.
        key: a hash of all that decides its features.
        features: a waveform's blocks to (segments, dimensions).
        encoder: where it is an encoder of this package.
    """

    name: str
    kind: str
    source: str
    key: str
    features: Features
    encoder: Encoder | None = None


def checkpoint_system(folder: str, name: str, hop: float | None = None) -> System:
    """An encoder folder.

    Raises:
        CheckpointError: it cannot be read.
    """
    encoder = load_encoder(folder)
    return encoder_system(name, "checkpoint", folder, encoder, hop)


def baseline(name: str, seed: int = 0, hop: float | None = None) -> System:
    """A baseline by its name.

    - `untrained`: the paper's encoder with its first weights.
    - `mel_statistics`: mean and standard deviation over time of 128 log-mel bands (256).
    - `mfcc`: mean and standard deviation of 20 MFCCs and of their deltas, by librosa (80).
    - `timm:MODEL`: a pretrained network of timm's on the log-mel.
    - `hear:MODULE` or `hear:MODULE:WEIGHTS`: any module with the HEAR 2021 common API.

    Raises:
        SslAudioError: no such baseline, or it cannot be loaded here.
    """
    if name == "untrained":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = build_encoder().eval()
        return encoder_system(name, "untrained", f"seed {seed}", encoder, hop)
    if name in FEATURE_BASELINES:
        features = mel_statistics if name == "mel_statistics" else mfcc
        return System(name, "features", name, _hash(name, 1), features)
    kind, _, rest = name.partition(":")
    if kind == "timm" and rest:
        return _timm_system(name, rest, hop)
    if kind == "hear" and rest:
        return _hear_system(name, *rest.partition(":")[::2])
    raise SslAudioError(
        f"baselines: {name!r} is none of untrained, {', '.join(FEATURE_BASELINES)}, timm:MODEL, "
        "hear:MODULE[:WEIGHTS]"
    )


def _hash(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def encoder_system(
    name: str, kind: str, source: str, encoder: Encoder, hop: float | None
) -> System:
    """An encoder of this package, with its batch norms folded, on the GPU if there is one."""
    fast = for_embedding(encoder, runtime="torch")

    def features(blocks: Iterable[np.ndarray]) -> np.ndarray:
        return fast.embed_blocks(blocks, hop).segments

    return System(name, kind, source, _hash(encoder.weights_hash, hop), features, encoder)


_MEL = LogMel.named("default")


@torch.inference_mode()
def mel_statistics(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Mean and standard deviation over time of each log-mel band: (1, 256)."""
    mel = _MEL(torch.from_numpy(np.concatenate(list(blocks)))[None])[0, 0]
    return torch.cat([mel.mean(1), mel.std(1, correction=0)])[None].numpy()


def mfcc(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Mean and standard deviation over time of MFCCs and of their deltas, by librosa: (1, 80)."""
    from librosa.feature import delta
    from librosa.feature import mfcc as coefficients

    waveform = np.concatenate(list(blocks))
    found = coefficients(y=waveform, sr=SAMPLE_RATE, n_mfcc=MFCCS)
    change = delta(found, mode="nearest")
    both = np.concatenate([found, change])
    return np.concatenate([both.mean(1), both.std(1)])[None].astype(np.float32)


def _timm_system(name: str, model: str, hop: float | None) -> System:
    import timm

    try:
        network = timm.create_model(model, pretrained=True, in_chans=1, num_classes=0).eval()
    except Exception as error:  # a dozen kinds: no such model, no such weights, no network
        reason = str(error).splitlines()[0]
        raise SslAudioError(f"{name}: timm cannot load it: {reason}") from error
    length, step = 4 * SAMPLE_RATE, round((hop or 4.0) * SAMPLE_RATE)

    @torch.inference_mode()
    def features(blocks: Iterable[np.ndarray]) -> np.ndarray:
        rows = [_MEL(_padded(part, length)) for _, part in segments(blocks, length, step)]
        return torch.cat([network(row) for row in rows]).float().numpy()

    try:
        features([np.zeros(length, np.float32)])
    except Exception as error:  # a network of one input size, say
        reason = str(error).splitlines()[0]
        raise SslAudioError(f"{name}: it does not take log-mels of 4 s: {reason}") from error
    return System(name, "timm", model, _hash(_state_hash(network), hop), features)


def _padded(part: np.ndarray, length: int) -> torch.Tensor:
    return torch.nn.functional.pad(torch.from_numpy(part), (0, length - len(part)))[None]


def _hear_system(name: str, module: str, weights: str) -> System:
    try:
        api = importlib.import_module(module)
        model = api.load_model(weights) if weights else api.load_model()
    except Exception as error:  # another's code may fail as it likes
        raise SslAudioError(f"{name}: cannot be loaded: {error}") from error
    rate = int(model.sample_rate)

    @torch.inference_mode()
    def features(blocks: Iterable[np.ndarray]) -> np.ndarray:
        import soxr

        waveform = np.concatenate(list(blocks))
        if rate != SAMPLE_RATE:
            waveform = soxr.resample(waveform, SAMPLE_RATE, rate)
        scene = api.get_scene_embeddings(torch.from_numpy(waveform)[None], model)
        return scene.float().cpu().numpy()

    version = getattr(api, "__version__", "")
    return System(
        name, "hear", module, _hash(module, version, weights, _state_hash(model)), features
    )


def _state_hash(model: Any) -> str:
    """SHA-256 of a network's weights; of anything that is no network, nothing."""
    digest = hashlib.sha256()
    if isinstance(model, torch.nn.Module):
        for key, tensor in sorted(model.state_dict().items()):
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
