"""Descriptors of harmony: notes, keys and tonal distances."""

from functools import lru_cache

import numpy as np

from ssl_audio.catalogue.spectrum import TINY, deviation, mean

# How well each note fits a key on C, as rated by listeners (Krumhansl and Kessler, 1982)
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


def harmony(chroma: np.ndarray, sounding: np.ndarray) -> dict[str, float]:
    """Descriptors of (frames, 12) chroma."""
    import librosa

    average = mean(chroma, sounding).astype(np.float64)
    share = average / max(float(average.sum()), TINY)
    entropy = -float((share * np.log2(np.maximum(share, TINY))).sum())
    fits = _key_fits(average)
    best, second = np.sort(fits, axis=None)[:-3:-1]
    # the distance of each pair of coordinates from the centre does not change with transposition
    points = librosa.feature.tonnetz(chroma=chroma.T).reshape(3, 2, -1)
    fifths, minor, major = map(float, mean(np.hypot(points[:, 0], points[:, 1]).T, sounding))
    return {
        "chroma_entropy": max(entropy, 0.0),
        "chroma_deviation": float(deviation(chroma, sounding).mean()),
        "major_strength": float(fits[0].max()),
        "minor_strength": float(fits[1].max()),
        "key_clarity": float(best - second),
        "tonnetz_fifths": fifths,
        "tonnetz_minor_thirds": minor,
        "tonnetz_major_thirds": major,
    }


@lru_cache(maxsize=1)
def _keys() -> np.ndarray:
    """Standardised profiles of all keys, (2, 12, 12): major and minor, tonic, note."""
    tonics = range(12)
    profiles = np.array([[np.roll(mode, tonic) for tonic in tonics] for mode in (_MAJOR, _MINOR)])
    profiles -= profiles.mean(-1, keepdims=True)
    return profiles / profiles.std(-1, keepdims=True)


def _key_fits(chroma: np.ndarray) -> np.ndarray:
    """Correlation of (12,) with each key, (2, 12); 0 where all notes are equal."""
    spread = chroma.std()
    if spread < 1e-6:
        return np.zeros((2, 12))
    return _keys() @ ((chroma - chroma.mean()) / spread) / 12
