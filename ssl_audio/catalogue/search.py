"""Search for tracks that sound alike in a feature store."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_audio.audio.sources import beside, numbered_lines
from ssl_audio.io.errors import SslAudioError
from ssl_audio.stores.feature_store import read_about, read_vectors
from ssl_audio.stores.store_search import Match, nearest_tracks

_VECTOR = re.compile(r"[-+.\deE]+(,[-+.\deE]+)+")


@dataclass(frozen=True)
class Query:
    """What is searched for: the id of a track of the store, an audio file, or a vector, which is
    the file of a NumPy array (.npy) or numbers with commas between them."""

    text: str
    path: Path  # if it is a file
    where: str = ""  # the line of a list


def read_queries(path: Path) -> list[Query]:
    """The queries of a text file, one a line; files are relative to its folder.

    Raises:
        SslAudioError: it cannot be read, or is empty.
    """
    found = [
        Query(line, Path(beside(path, line)), f"{path}, line {number}: ")
        for number, line in numbered_lines(path)
        if line.strip()
    ]
    if not found:
        raise SslAudioError(f"{path} has no query: write one a line")
    return found


def similar_tracks(
    path: Path, queries: Sequence[Query], k: int, checkpoint: Path | None = None,
    approximate: bool | None = None, prefix: str = "", deleted: bool = False,
) -> list[list[Match] | SslAudioError]:  # fmt: skip
    """The k tracks of a store that are nearest to each query, by cosine, the nearest first.

    Args:
        queries: what is searched for; a track of the store is not among its own results.
        checkpoint: the encoder of the store, for audio files; None: the one that it records.
        approximate, prefix, deleted: as in `nearest_tracks`.

    Returns:
        for each query, its results or what is wrong with it.

    Raises:
        SslAudioError: an unreadable store, or another encoder.
    """
    vectors = _Vectors(path, checkpoint).of(queries)
    usable = [vector for vector in vectors if isinstance(vector, np.ndarray)]
    if not usable:
        return [vector for vector in vectors if isinstance(vector, SslAudioError)]
    found = iter(nearest_tracks(path, np.stack(usable), k + 1, approximate, prefix, deleted))
    return [
        [match for match in next(found) if match.id != query.text][:k]
        if isinstance(vector, np.ndarray)
        else vector
        for query, vector in zip(queries, vectors, strict=True)
    ]


@dataclass(frozen=True)
class _Vectors:
    """The vectors of queries."""

    store: Path
    checkpoint: Path | None

    def of(self, queries: Sequence[Query]) -> list[np.ndarray | SslAudioError]:
        """A vector for each query, (dimensions,), or why there is none."""
        _, first = next(read_vectors(self.store, []), (None, np.zeros((0, 0))))
        texts = {query.text for query in queries}
        tracks: dict[str, np.ndarray] = {}
        for table, vectors in read_vectors(self.store, [], texts.__contains__):
            tracks.update(zip(table["id"].to_pylist(), vectors, strict=True))
        found: list[np.ndarray | SslAudioError | Path] = []
        for query in queries:
            try:
                found.append(tracks[query.text] if query.text in tracks else self._read(query))
            except SslAudioError as error:
                found.append(error)
        audio = [one for one in found if isinstance(one, Path)]
        embedded = self._embedded(audio) if audio else {}
        results = (embedded[one] if isinstance(one, Path) else one for one in found)
        return [_checked(q, one, first.shape[1]) for q, one in zip(queries, results, strict=True)]

    def _read(self, query: Query) -> np.ndarray | Path:
        """A vector, or the path of an audio file."""
        if _is_file(query.path):
            if query.path.suffix.lower() != ".npy":
                return query.path
            try:
                return np.load(query.path, allow_pickle=False).astype(np.float32)
            except (OSError, ValueError, TypeError, EOFError) as error:
                raise SslAudioError(f"{query.text}: no NumPy array of numbers") from error
        if _VECTOR.fullmatch(query.text):
            try:
                return np.array([float(number) for number in query.text.split(",")], np.float32)
            except ValueError as error:
                raise SslAudioError(f"{query.text}: {error}") from error
        raise SslAudioError(f"{query.text}: no such file, and no track of {self.store}")

    def _embedded(self, paths: Sequence[Path]) -> dict[Path, np.ndarray | SslAudioError]:
        """The embeddings of audio files by the encoder of the store."""
        about = read_about(self.store)
        if about.get("kind") != "embedding":
            reason = f"{self.store} holds no embeddings; give the id of a track"
            return {path: SslAudioError(f"{path}: {reason}") for path in paths}
        from ssl_audio.models.encoder import load_encoder

        folder = self.checkpoint or about["checkpoint"]
        encoder = load_encoder(folder)
        if encoder.weights_hash != about["model"]:
            raise SslAudioError(
                f"{self.store} was made with another encoder than {folder}: give checkpoint="
            )
        results = encoder.embed_files(paths, about["hop"], progress=len(paths) > 1)
        return {
            path: SslAudioError(str(result.error)) if result.embedding is None
            else result.embedding.track
            for path, result in zip(paths, results, strict=True)
        }  # fmt: skip


def _checked(
    query: Query, found: np.ndarray | SslAudioError, dimensions: int
) -> np.ndarray | SslAudioError:
    if not isinstance(found, np.ndarray):
        return SslAudioError(f"{query.where}{found}")
    if found.shape != (dimensions,):
        return SslAudioError(
            f"{query.where}{query.text} is of shape {list(found.shape)}, but a vector of the store "
            f"of shape [{dimensions}]"
        )
    if not np.isfinite(found).all():
        return SslAudioError(f"{query.where}{query.text}: its vector is not finite")
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or has a zero byte
        return False
