"""The encoder without training."""

import torch

from ssl_audio.models.encoder import Encoder, build_encoder
from ssl_audio.probing.encoders import BaselineOptions, PackageEncoder


class Untrained(PackageEncoder):
    """The paper's encoder with random weights."""

    def __init__(self, options: BaselineOptions) -> None:
        encoder = untrained_encoder(options.seed).eval()
        super().__init__(options.name, "untrained", f"seed {options.seed}", encoder, options.hop)


def untrained_encoder(seed: int) -> Encoder:
    """A new encoder; torch's global generator stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_encoder()
