"""Segments of music that an int8 network is calibrated with."""

from collections.abc import Iterable
from itertools import islice

import numpy as np

from ssl_audio.audio import isolated
from ssl_audio.catalogue.tracks import Item
from ssl_audio.io.errors import AudioError
from ssl_audio.io.remote import local_copy
from ssl_audio.models.embedder import segments

TRACKS = 64  # of a source, at most
SEGMENTS = 4  # of a track
MAX_SEGMENTS = 150  # from the start of a track, of which those are taken


def typical_segments(items: Iterable[Item], segment: float, sample_rate: int) -> np.ndarray:
    """Segments from all over some tracks, (n, samples); of tracks that cannot be read, none.

    Args:
        segment: seconds; a shorter track is one segment, followed by silence.
        sample_rate: Hz.
    """
    length = round(segment * sample_rate)
    found = []
    for item in items:
        try:
            with local_copy(item.path) as file:
                cut = segments(isolated.Stream(file, sample_rate), length, length)
                parts = [samples for _, samples in islice(cut, MAX_SEGMENTS)]
        except (OSError, AudioError):
            continue  # it is named when it is embedded
        places = np.linspace(0, len(parts) - 1, min(len(parts), SEGMENTS)).round().astype(int)
        found += [np.pad(parts[place], (0, length - len(parts[place]))) for place in places]
    return np.stack(found) if found else np.zeros((0, length), np.float32)
