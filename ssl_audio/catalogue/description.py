"""Feature stores of the 42 descriptors of audio files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ssl_audio.audio import SAMPLE_RATE, isolated
from ssl_audio.catalogue.descriptors import DESCRIPTORS, descriptors_of_blocks, normalised
from ssl_audio.catalogue.tracks import Analysis, Item, list_items, row_of
from ssl_audio.catalogue.update import Summary, update_catalogue
from ssl_audio.io.parallel import in_order
from ssl_audio.settings.acoustic import AcousticSettings
from ssl_audio.stores.columns import Row
from ssl_audio.stores.failures import Failure
from ssl_audio.stores.remote import published
from ssl_audio.stores.writer import Store, check_output

ABOUT = {"kind": "descriptors", "model": "42", "names": [d.name for d in DESCRIPTORS]}


def _describe(path: Path) -> Analysis:
    stream = isolated.Stream(path)
    vector = normalised(descriptors_of_blocks(list(stream)))
    return Analysis(stream.samples / SAMPLE_RATE, vector, note=stream.note)


@dataclass(frozen=True)
class DescriptorEngine:
    """Computes the descriptors, 0 to 1, of tracks."""

    workers: int | None = None  # tracks at a time; None is the number of processors
    runtime: str = ""

    def rows(self, items: Iterable[Item]) -> Iterator[Row | Failure]:
        """The rows of tracks, in their order."""
        return in_order(items, lambda item: row_of(item, _describe), self.workers)


def describe_catalogue(settings: AcousticSettings) -> Summary:
    """Bring a store of descriptors up to date with a source.

    Raises:
        SslAudioError: an unreadable source, or a store of other features.
    """
    assert settings.source is not None
    check_output(settings.output)
    items = list_items(settings.source, settings.part)
    engine = DescriptorEngine(settings.workers)
    with published(settings.output) as output:
        store = Store(output.path, ABOUT, group=settings.group)
        return update_catalogue(settings, store, items, lambda tracks: engine, "describing", output)
