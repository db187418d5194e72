"""Random numbers as functions of (seed, purpose, key), whatever was drawn before."""

import numpy as np

# purposes, which must not share random numbers: order of tracks, positions of pairs, transforms of
# views, positions of further crops, steps of training
ORDER, CROPS, TRANSFORMS, EXTRA_CROPS, STEPS = 0, 1, 2, 3, 4


def generator(seed: int, stream: int, *key: int) -> np.random.Generator:
    """The generator of a purpose and a key, such as a pass and a track."""
    # spawn keys (1, 2) and (1, 2, 0) give different streams; as entropy they would give the same
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(stream, *key))
    return np.random.Generator(np.random.PCG64(sequence))
