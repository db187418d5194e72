"""Excerpts of recordings as tracks of their own: how a small collection becomes a catalogue."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ssl_audio.audio import files
from ssl_audio.audio.files import SAMPLE_RATE
from ssl_audio.catalogue.acoustic_features import describe_waveform
from ssl_audio.catalogue.embedding import Failure, Item, Settings, embed_item
from ssl_audio.io.errors import AudioError
from ssl_audio.models.embedder import Embedder
from ssl_audio.stores.feature_store import Row


@dataclass(frozen=True)
class Excerpts:
    """What a recording's excerpts are.

    Attributes:
        embeddings: a row an excerpt, its id the recording's with its start: "a.mp3#12.0".
        descriptors: the same rows with the 42 descriptors.
    """

    embeddings: list[Row]
    descriptors: list[Row]


def excerpts_of(item: Item, encoder: Embedder, hop: float) -> Excerpts | Failure:
    """Embed and describe every segment of a recording by itself.

    Args:
        item: the recording.
        encoder: its segment is an excerpt's length.
        hop: seconds between the starts of excerpts.
    """
    whole = embed_item(item, encoder, Settings(segments=True, hop=hop))
    if isinstance(whole, Failure):
        return whole
    assert whole.segments is not None and whole.times is not None
    try:
        waveform = files.read(item.path)
    except AudioError as error:
        return Failure(item.id, whole.path, str(error))
    found = Excerpts([], [])
    length = round(encoder.segment * SAMPLE_RATE)
    for start, vector in zip(whole.times, whole.segments, strict=True):
        first = round(float(start) * SAMPLE_RATE)
        row = replace(
            whole,
            id=f"{item.id}#{float(start):.2f}",
            duration=min(length, len(waveform)) / SAMPLE_RATE,
            vector=np.asarray(vector, np.float32),
            segments=None,
            times=None,
        )
        found.embeddings.append(row)
        described = describe_waveform(waveform[first : first + length])
        found.descriptors.append(replace(row, vector=described))
    return found
