"""Feature stores of the 42 descriptors of audio files."""

from __future__ import annotations

from pathlib import Path

from ssl_audio.audio import SAMPLE_RATE, isolated
from ssl_audio.catalogue.descriptors import DESCRIPTORS, descriptors_of_blocks, normalised
from ssl_audio.catalogue.tracks import Analysis, Summary, fill_store, list_items, missing, row_of
from ssl_audio.io.parallel import in_order
from ssl_audio.stores.writer import Store, check_output

ABOUT = {"kind": "descriptors", "model": "42", "names": [d.name for d in DESCRIPTORS]}


def _describe(path: Path) -> Analysis:
    stream = isolated.Stream(path)
    blocks = list(stream)
    duration = sum(map(len, blocks)) / SAMPLE_RATE
    return Analysis(duration, normalised(descriptors_of_blocks(blocks)), note=stream.note)


def describe_catalogue(
    source: Path, output: Path, workers: int | None = None, group: int = 1024
) -> Summary:
    """Add the descriptors, 0 to 1, of the tracks of a source that a store does not have yet.

    Args:
        source: see `list_items`.
        output: the store.
        workers: tracks at a time; None is the number of processors.
        group: tracks in a row group.

    Raises:
        SslAudioError: an unreadable source, or a store of other features.
    """
    check_output(output)
    items = list_items(source)
    failures = output.with_name(f"{output.stem}-failures.csv")  # embed writes failures.csv
    with Store(output, ABOUT, group=group) as store:
        rest = missing(items, store.finished)
        total = len(rest) if isinstance(rest, list) else None
        results = in_order(rest, lambda item: row_of(item, _describe), workers)
        return fill_store(store, results, total, "describing", failures)
