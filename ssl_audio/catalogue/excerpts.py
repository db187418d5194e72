"""Excerpts of recordings as tracks of their own, to make a catalogue of a small collection."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ssl_audio.audio import SAMPLE_RATE, decode
from ssl_audio.catalogue.descriptors import descriptors, normalised
from ssl_audio.catalogue.embedding import LocalEngine
from ssl_audio.catalogue.tracks import Failure, Item
from ssl_audio.io.errors import AudioError
from ssl_audio.models.embedder import Embedder
from ssl_audio.stores.feature_store import Row


@dataclass(frozen=True)
class Excerpts:
    """The excerpts of a recording.

    Attributes:
        embeddings: a row per excerpt; its id is the recording's with its start: "a.mp3#12.00".
        descriptors: the same rows with the 42 descriptors.
    """

    embeddings: list[Row]
    descriptors: list[Row]


def excerpts_of(item: Item, embedder: Embedder, hop: float) -> Excerpts | Failure:
    """Embed and describe every segment of a recording by itself.

    Args:
        item: the recording.
        embedder: its segment is the length of an excerpt.
        hop: seconds between the starts of excerpts.
    """
    whole = LocalEngine(embedder, hop, segments=True).row(item)
    if isinstance(whole, Failure):
        return whole
    assert whole.segments is not None and whole.times is not None
    try:
        waveform = decode.read(item.path)
    except AudioError as error:
        return Failure(item.id, whole.path, str(error))
    found = Excerpts([], [])
    length = round(embedder.segment * SAMPLE_RATE)
    duration = min(length, len(waveform)) / SAMPLE_RATE
    for start, vector in zip(whole.times.tolist(), whole.segments, strict=True):
        name = f"{item.id}#{start:.2f}"
        row = Row(name, whole.path, duration, whole.sha256, np.asarray(vector, np.float32))
        found.embeddings.append(row)
        first = round(start * SAMPLE_RATE)
        described = normalised(descriptors(waveform[first : first + length]))
        found.descriptors.append(replace(row, vector=described))
    return found
