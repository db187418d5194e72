"""What an encoder takes: parameters, operations, time."""

import statistics
import time

import numpy as np
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ssl_audio.probing.encoders import TrackEncoder
from ssl_audio.reports.estimates import Cost

SECONDS = 30.0  # of the track that is embedded
REPEATS = 3


def cost(encoder: TrackEncoder) -> Cost:
    """Parameters, operations and speed of an encoder on a track of 30 s of noise.

    Operations are multiply-accumulates of torch's matrix products, convolutions and attention, also
    those of a log-mel's filters; other libraries are not counted. The speed is that of decoded
    audio, one track at a time, with all threads that torch or the encoder uses by itself.
    """
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, round(SECONDS * encoder.sample_rate)).astype(np.float32)
    with FlopCounterMode(display=False) as counter:
        encoder.features([noise])
    operations = counter.get_total_flops() / 2 / SECONDS
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        encoder.features([noise])
        seconds.append(time.perf_counter() - started)
    return Cost(_parameters(encoder), operations or None, 1 / statistics.median(seconds))


def _parameters(encoder: TrackEncoder) -> int | None:
    """Weights of the network; None if there is none, or it is not torch's."""
    network = getattr(encoder, "network", None)
    if not isinstance(network, nn.Module):
        return None
    return sum(weights.numel() for weights in network.parameters())
