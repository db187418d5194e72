"""Robustness: the metrics of a probe on test tracks whose audio was changed."""

import io
import zlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import soundfile
import soxr
import torch

from ssl_audio.audio.logmel import LogMel
from ssl_audio.audio.views.level import Gain
from ssl_audio.audio.views.noise import Noise
from ssl_audio.audio.views.speed import Speed
from ssl_audio.audio.views.transform import Context, Rows, Transform
from ssl_audio.datasets.dataset import Split
from ssl_audio.io.errors import SslAudioError
from ssl_audio.probing.encoders import TrackEncoder, digest
from ssl_audio.probing.features import track_features
from ssl_audio.settings.probe import ProbeSettings

VERSION = 1  # of the changes: raise it when the same change gives other samples
MP3_RATE = 44_100  # Hz; what mp3 files usually have
MP3_BITRATES = (32.0, 320.0)  # smallest and largest at this rate, kbit/s
TRANSFORMS: dict[str, Callable[[tuple[float, float]], Transform]] = {
    "noise": Noise, "gain": Gain, "speed": Speed,
}  # fmt: skip
MP3_DELAY = 1105  # samples of encoder and decoder, where no header has them left out
MAX_LEVEL = 0.9999  # of compression: libsndfile refuses 1


class ChangedEncoder:
    """An encoder whose input is changed: the features of a changed track.

    The changes are made of the whole track, as one channel: "mp3" is encoded at 44.1 kHz with a
    constant bit rate (kbit/s); "noise" is white, at a signal-to-noise ratio (dB); "gain" (dB) clips
    nothing; "speed" changes pitch and tempo (semitones); "offset" leaves out the first seconds.
    """

    kind = "changed"

    def __init__(self, encoder: TrackEncoder, change: str, strength: float) -> None:
        self.encoder, self.change, self.strength = encoder, change, strength
        self.name = f"{encoder.name}, {change} {strength:g}"
        self.source = encoder.source
        self.key = digest(encoder.key, VERSION, change, strength)
        self.sample_rate = MP3_RATE if change == "mp3" else encoder.sample_rate
        self._frontend = LogMel.named("default")

    def features(self, blocks: Iterable[np.ndarray]) -> np.ndarray:
        return self.encoder.features([self.changed(np.concatenate(list(blocks)))])

    def changed(self, waveform: np.ndarray) -> np.ndarray:
        """(samples,) at `sample_rate` to the changed samples at the encoder's rate."""
        if self.change == "mp3":
            decoded = through_mp3(waveform, self.strength)
            return soxr.resample(decoded, MP3_RATE, self.encoder.sample_rate)
        if self.change == "offset":
            first = round(self.strength * self.sample_rate)
            return waveform[first:] if first < len(waveform) else waveform
        return self._transformed(waveform)

    def _transformed(self, waveform: np.ndarray) -> np.ndarray:
        """The transform of training views, its random numbers a function of the track."""
        transform = TRANSFORMS[self.change]((self.strength, self.strength))
        x = torch.from_numpy(np.ascontiguousarray(waveform, np.float32))[None]
        seed = zlib.crc32(x.numpy().tobytes())
        rows = Rows(tracks=1, views=1, all_views=1)
        context = Context(rows, seed, 0, 0, x, self._frontend)
        return np.asarray(transform(x, context)[0].numpy())


def through_mp3(waveform: np.ndarray, bitrate: float) -> np.ndarray:
    """(samples,) at 44.1 kHz, encoded as mp3 of a constant bit rate (kbit/s) and decoded.

    Frames below 56 kbit/s have no room for the header that states delay and length, so both are
    cut here.
    """
    low, high = MP3_BITRATES
    file = io.BytesIO()
    soundfile.write(
        file, waveform, MP3_RATE, format="MP3", subtype="MPEG_LAYER_III",
        compression_level=min((high - bitrate) / (high - low), MAX_LEVEL), bitrate_mode="CONSTANT",
    )  # fmt: skip
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    first = MP3_DELAY if len(decoded) > len(waveform) else 0
    return np.asarray(decoded[first : first + len(waveform)])


def changed_means(
    encoder: TrackEncoder, test: Split, settings: ProbeSettings
) -> Iterator[tuple[str, float, np.ndarray]]:
    """The mean features of test tracks after each change at each of its strengths.

    Yields:
        Change, strength, (tracks, dimensions).

    Raises:
        SslAudioError: a changed track has no features.
    """
    for change in settings.robustness.changes:
        for strength in getattr(settings.robustness, change):
            changed = ChangedEncoder(encoder, change, strength)
            means = track_features(
                changed, test.ids, test.paths, cache=settings.cache, workers=settings.workers
            ).means
            lost = np.flatnonzero(~np.isfinite(means).all(1))
            if len(lost):
                raise SslAudioError(
                    f"{changed.name}: {len(lost)} of {len(means)} test tracks have no features, "
                    f"for example {test.ids[lost[0]]}"
                )
            yield change, strength, means
