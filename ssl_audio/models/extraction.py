"""Features of many files: decoded and computed in parallel, in order, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_audio.audio import decode
from ssl_audio.io.errors import AudioError
from ssl_audio.io.parallel import in_order
from ssl_audio.io.progress import with_progress
from ssl_audio.models.embedder import Embedder, Embedding

# Blocks of a 16 kHz mono waveform, in order, to (rows, dimensions) float32.
Features = Callable[[Iterable[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Extracted:
    """What became of one file.

    Attributes:
        path: the file.
        rows: (rows, dimensions), or None.
        error: why there are none.
    """

    path: Path
    rows: np.ndarray | None
    error: AudioError | None = None


def extract(
    paths: Sequence[Path], features: Features, workers: int | None = None
) -> Iterator[Extracted]:
    """Compute the features of files, one result a file, in the order of the files.

    Args:
        paths: the files.
        features: called from several threads at once.
        workers: tracks at a time; None is the number of processors.

    Yields:
        Results; a file that cannot be read is one with an `error`.
    """
    yield from in_order(paths, lambda path: _extract_one(path, features), workers)


@dataclass(frozen=True)
class FileEmbedding:
    """The outcome of embedding one file.

    Attributes:
        path: the file.
        embedding: its embedding, or None.
        error: why there is none.
    """

    path: Path
    embedding: Embedding | None
    error: AudioError | None = None


def embed_files(
    embedder: Embedder, paths: Sequence[str | Path], hop: float | None = None,
    workers: int | None = None, progress: bool = True,
) -> Iterator[FileEmbedding]:  # fmt: skip
    """Embed files in parallel, one result a file, in the order of the files.

    Args:
        embedder: used from several threads.
        paths: the files.
        hop: seconds between the starts of segments.
        workers: files at a time; None is the number of processors.
        progress: show a progress bar on standard error.
    """

    def one(path: str | Path) -> FileEmbedding:
        try:
            return FileEmbedding(Path(path), embedder.embed_file(path, hop))
        except AudioError as error:
            return FileEmbedding(Path(path), None, error)

    results = in_order(paths, one, workers)
    yield from with_progress(results, "embedding", len(paths), "files", progress)


def _extract_one(path: Path, features: Features) -> Extracted:
    try:
        return Extracted(path, features(decode.stream(path)))
    except AudioError as error:
        return Extracted(path, None, error)
