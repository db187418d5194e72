"""Embedding tracks by threads of this machine: `engine=local`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ssl_audio.audio import isolated
from ssl_audio.catalogue.tracks import Analysis, Item, row_of
from ssl_audio.io.parallel import in_order
from ssl_audio.models.embedder import BATCH, Embedder
from ssl_audio.models.runtime import runtime_of
from ssl_audio.stores.columns import Row
from ssl_audio.stores.failures import Failure


@dataclass(frozen=True)
class LocalEngine:
    """Embeds tracks on this machine, several at a time."""

    embedder: Embedder  # of `for_embedding`
    hop: float | None = None  # seconds between the starts of segments; None is a segment's length
    batch_size: int = BATCH  # segments at a time
    segments: bool = False  # keep the embedding of each segment too
    workers: int | None = None  # tracks at a time; None is the number of processors

    @property
    def runtime(self) -> str:
        return runtime_of(self.embedder)

    def rows(self, items: Iterable[Item]) -> Iterator[Row | Failure]:
        """The rows of tracks, in their order."""
        return in_order(items, self.row, self.workers)

    def row(self, item: Item) -> Row | Failure:
        """The row of one track."""
        return row_of(item, self._embed)

    def _embed(self, path: Path) -> Analysis:
        stream = isolated.Stream(path, self.embedder.sample_rate)
        found = self.embedder.embed_blocks(stream, self.hop, self.batch_size)
        segments, times = (found.segments, found.times) if self.segments else (None, None)
        duration = stream.samples / self.embedder.sample_rate
        return Analysis(duration, found.track, segments, times, stream.note)
