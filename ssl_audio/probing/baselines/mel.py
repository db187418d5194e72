"""Statistics of the log-mel spectrogram."""

from collections.abc import Iterable

import numpy as np
import torch

from ssl_audio.audio.logmel import LogMel
from ssl_audio.probing.encoders import FeatureBaseline

_LOG_MEL = LogMel.named("default")


class MelStatistics(FeatureBaseline):
    """Mean and standard deviation over time of 128 log-mel bands (256 dimensions)."""

    def features(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        return mel_statistics(blocks)


@torch.inference_mode()
def mel_statistics(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """(1, 256): mean, then population standard deviation over time of each log-mel band."""
    mel = _LOG_MEL(torch.from_numpy(np.concatenate(list(blocks)))[None])[0, 0]
    return torch.cat([mel.mean(1), mel.std(1, correction=0)])[None].numpy()
