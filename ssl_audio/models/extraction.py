"""Features of many files: decoded and computed in parallel, in order, in bounded memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_audio.audio import isolated
from ssl_audio.io.errors import AudioError
from ssl_audio.io.parallel import in_order
from ssl_audio.io.progress import with_progress
from ssl_audio.models.embedder import Embedder, Embedding

# Blocks of a mono waveform, in order, to (rows, dimensions) float32.
Features = Callable[[Iterable[np.ndarray]], np.ndarray]


def extract(
    paths: Sequence[Path], features: Features, sample_rate: int, workers: int | None = None
) -> Iterator[np.ndarray | AudioError]:
    """Compute the (rows, dimensions) features of files, in the order of the files.

    Args:
        paths: the files; the result of one that cannot be read is the error.
        features: called from several threads at once.
        sample_rate: of the blocks that `features` gets, Hz.
        workers: files at a time; None is the number of processors.
    """

    def one(path: Path) -> np.ndarray | AudioError:
        try:
            return features(isolated.Stream(path, sample_rate))
        except AudioError as error:
            return error

    return in_order(paths, one, workers)


@dataclass(frozen=True)
class FileEmbedding:
    """The embedding of one file, or the error that prevented it."""

    path: Path
    embedding: Embedding | None
    error: AudioError | None = None


def embed_files(
    embedder: Embedder, paths: Sequence[str | Path], hop: float | None = None,
    workers: int | None = None, progress: bool = True,
) -> Iterator[FileEmbedding]:  # fmt: skip
    """Embed files in parallel; the arguments are those of `Encoder.embed_files`."""

    def one(path: str | Path) -> FileEmbedding:
        try:
            return FileEmbedding(Path(path), embedder.embed_file(path, hop))
        except AudioError as error:
            return FileEmbedding(Path(path), None, error)

    results = in_order(paths, one, workers)
    return with_progress(results, "embedding", len(paths), "files", progress)
