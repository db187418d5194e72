"""Statistics of mel-frequency cepstral coefficients."""

from collections.abc import Iterable

import numpy as np

from ssl_audio.audio import SAMPLE_RATE
from ssl_audio.io.compiled_cache import allow_librosa
from ssl_audio.probing.encoders import FeatureBaseline

COEFFICIENTS = 20


class MFCC(FeatureBaseline):
    """Mean and standard deviation over time of 20 MFCCs and of their deltas (80 dimensions)."""

    def features(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        import librosa

        allow_librosa()
        waveform = np.concatenate(list(blocks))
        mfcc = librosa.feature.mfcc(y=waveform, sr=SAMPLE_RATE, n_mfcc=COEFFICIENTS)
        both = np.concatenate([mfcc, librosa.feature.delta(mfcc, mode="nearest")])
        return np.concatenate([both.mean(1), both.std(1)])[None].astype(np.float32)
