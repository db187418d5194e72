"""Excerpts of recordings as tracks of their own: a large catalogue from a small collection."""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ssl_audio.audio import SAMPLE_RATE, decode, isolated
from ssl_audio.audio.sources import read_jamendo
from ssl_audio.catalogue.descriptors import DESCRIPTORS, descriptors_of_blocks, normalised
from ssl_audio.catalogue.local_engine import LocalEngine
from ssl_audio.catalogue.tracks import Item
from ssl_audio.io.console import say, warn
from ssl_audio.io.errors import AudioError, SslAudioError
from ssl_audio.io.parallel import in_order
from ssl_audio.io.progress import with_progress
from ssl_audio.models.embedder import Embedder
from ssl_audio.models.encoder import Encoder
from ssl_audio.stores.columns import Row
from ssl_audio.stores.failures import Failure
from ssl_audio.stores.writer import write_store

GENRE = "genre---"  # prefix of genre tags in MTG-Jamendo's tables
MIN_HOP = 0.2  # seconds between excerpts: nearer ones are almost equal


@dataclass(frozen=True)
class Recording:
    """A recording and its genre, "" if unknown."""

    item: Item
    genre: str


@dataclass(frozen=True)
class Excerpts:
    """Excerpts of recordings.

    Attributes:
        embeddings: a row per excerpt; an id is the recording's and the start: "a.mp3#12.00".
        descriptors: the same rows with the 42 descriptors.
        hop: seconds between the starts of excerpts.
    """

    embeddings: list[Row]
    descriptors: list[Row]
    genres: list[str]
    hop: float

    def write(self, folder: Path, encoder: Encoder, checkpoint: Path) -> None:
        """Write embeddings.parquet and audio.parquet."""
        about = {"kind": "embedding", "model": encoder.weights_hash, "hop": self.hop,
                 "checkpoint": str(checkpoint), "segment": encoder.segment}  # fmt: skip
        names = [each.name for each in DESCRIPTORS]
        write_store(folder / "embeddings.parquet", about, self.embeddings)
        about = {"kind": "descriptors", "model": "42", "names": names}
        write_store(folder / "audio.parquet", about, self.descriptors)
        say(f"{len(self.embeddings)} tracks: embeddings.parquet and audio.parquet in {folder}")


def read_recordings(folder: Path) -> list[Recording]:
    """The recordings of a folder with MTG-Jamendo tables (*.tsv), in the order of the tables.

    Raises:
        SslAudioError: no table, or no genre in them.
    """
    folder = Path(os.path.abspath(folder))
    tables = sorted(folder.glob("*.tsv"))
    if not tables:
        raise SslAudioError(f"recordings={folder}: no table (*.tsv) with genres in it")
    found: dict[str, Recording] = {}  # a recording may be in several tables
    for table in tables:
        first = Path(read_jamendo(table, folder)[0].path)
        base = folder if first.exists() else folder / "audio"
        for source in read_jamendo(table, base):
            genre = next((t.removeprefix(GENRE) for t in source.tags if t.startswith(GENRE)), "")
            path = Path(source.path)
            item = Item(path.relative_to(base).as_posix(), path)
            found.setdefault(source.path, Recording(item, genre))
    if not any(recording.genre for recording in found.values()):
        raise SslAudioError(f"{tables[0]} and the others beside it have no tag {GENRE}...")
    return list(found.values())


def embed_excerpts(
    recordings: list[Recording], encoder: Encoder, count: int, seed: int, workers: int | None
) -> Excerpts:
    """Embed and describe a number of excerpts, drawn from all recordings.

    Args:
        recordings: those that cannot be read are skipped with a warning.
        encoder: its segment is the length of an excerpt.
        workers: recordings at a time; None: the number of processors.

    Raises:
        SslAudioError: the recordings are too short for so many excerpts.
    """
    hop = _hop(recordings, encoder.segment, count)
    embedder = encoder.folded()
    results = in_order(recordings, lambda r: _excerpts_of(r.item, embedder, hop), workers)
    found: list[tuple[Row, Row, str]] = []
    bar = with_progress(results, "embedding excerpts", len(recordings))
    for recording, result in zip(recordings, bar, strict=True):
        if isinstance(result, Failure):
            warn(f"{recording.item.path}: {result.reason}")
            continue
        found += [(*rows, recording.genre) for rows in result]
    if len(found) < count:
        raise SslAudioError(f"tracks={count}: these recordings give {len(found)} excerpts")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(found))[:count])
    embeddings, described, genres = zip(*(found[k] for k in chosen), strict=True)
    return Excerpts(list(embeddings), list(described), list(genres), hop)


def _hop(recordings: list[Recording], segment: float, count: int) -> float:
    """Seconds between excerpts: the largest hop that gives enough of them, within 5 %."""
    durations = [decode.info(recording.item.path).duration for recording in recordings]
    hop = max(segment, *durations)
    while sum(1 + max(0, math.floor((d - segment) / hop)) for d in durations) < count:
        hop *= 0.95
        if hop < MIN_HOP:
            hours = sum(durations) / 3600
            raise SslAudioError(f"tracks={count}: too many for {hours:.2f} hours of recordings")
    return round(hop, 3)


def _excerpts_of(item: Item, embedder: Embedder, hop: float) -> list[tuple[Row, Row]] | Failure:
    """The embedding and the descriptors of every segment of a recording."""
    whole = LocalEngine(embedder, hop, segments=True).row(item)
    if isinstance(whole, Failure):
        return whole
    assert whole.segments is not None and whole.times is not None
    try:
        waveform = np.concatenate(list(isolated.Stream(item.path)))
    except AudioError as error:
        return Failure(item.id, whole.path, str(error))
    found = []
    length = round(embedder.segment * SAMPLE_RATE)
    duration = min(length, len(waveform)) / SAMPLE_RATE
    for start, vector in zip(whole.times.tolist(), whole.segments, strict=True):
        name = f"{item.id}#{start:.2f}"
        row = Row(name, whole.path, duration, whole.sha256, np.asarray(vector, np.float32))
        first = round(start * SAMPLE_RATE)
        described = normalised(descriptors_of_blocks([waveform[first : first + length]]))
        found.append((row, replace(row, vector=described)))
    return found
