"""Baselines: a file each, created by their names in `baselines=`."""

from pathlib import Path

from ssl_audio.io.errors import SslAudioError
from ssl_audio.probing.encoders import BaselineOptions, TrackEncoder
from ssl_audio.probing.networks import NETWORKS
from ssl_audio.probing.networks.windows import WindowedEncoder
from ssl_audio.settings.registry import Registry

# `supervised` is not among them: it is trained on the data set (ssl_audio.probing.finetune).
BASELINES = Registry({
    "untrained": "ssl_audio.probing.baselines.untrained.Untrained",
    "mel_statistics": "ssl_audio.probing.baselines.mel.MelStatistics",
    "mfcc": "ssl_audio.probing.baselines.mfcc.MFCC",
    "musicnn": "ssl_audio.probing.baselines.musicnn.MusicnnTagger",
})  # fmt: skip


def create_baseline(name: str, hop: float | None = None, seed: int = 0) -> TrackEncoder:
    """A baseline.

    Args:
        name: a registered name or the path of a class, `MODULE.CLASS`; an argument may follow a
            colon.
        hop: seconds between the segments of a track; None is a segment's length.
        seed: of random weights.

    Raises:
        SslAudioError: no such baseline, or it cannot be loaded.
    """
    kind, _, argument = name.partition(":")
    options = BaselineOptions(name, argument, hop, seed)
    if kind in NETWORKS:
        network = NETWORKS[kind](options)
        return WindowedEncoder(name, network, network.window, hop)
    if kind not in BASELINES and "." not in kind:
        known = ", ".join((*BASELINES, *(f"{kind}:..." for kind in NETWORKS)))
        raise SslAudioError(f"baselines: {name!r} is none of {known}, supervised and MODULE.CLASS")
    return BASELINES[kind](options)


def is_network(name: str) -> bool:
    """True for KIND:ARGUMENT of another package's network, where no file has this name."""
    return name.partition(":")[0] in NETWORKS and ":" in name and not Path(name).exists()
