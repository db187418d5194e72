"""The files of each kind of `data=`.

A further kind is a dataclass in `ssl_audio/settings/pretrain.py` and a line in `SOURCES`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.audio import scan, shards, sources
from ssl_audio.audio.duplicates import without_duplicates
from ssl_audio.audio.scan import Manifest, Skipped, Track
from ssl_audio.audio.sources import Source
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings import pretrain as settings


def demo_corpus(data: settings.DemoData) -> Path:
    """The folder of the synthesised corpus, which is made on first use."""
    from ssl_audio.audio.demo_corpus import demo_folder, make_demo

    chosen: dict[str, Any] = {"tracks": data.tracks, "seconds": data.seconds, "seed": data.seed}
    return make_demo(data.root or demo_folder(**chosen), **chosen)


def _demo(data: settings.DemoData) -> list[Source]:
    folder = demo_corpus(data)
    return sources.read_jamendo(folder / "demo-train.tsv", folder)


def _folder(data: settings.FolderData) -> list[Source]:
    return sources.find_audio(data.root)


def _manifest(data: settings.ManifestData) -> list[Source]:
    is_list = data.root.suffix.lower() == ".txt"
    return sources.read_list(data.root) if is_list else sources.read_table(data.root)


def _jamendo(data: settings.JamendoData) -> list[Source]:
    return [source for tsv in data.tsv for source in sources.read_jamendo(tsv, data.root)]


SOURCES: dict[type[settings.DataSettings], Callable[[Any], list[Source]]] = {
    settings.DemoData: _demo,
    settings.FolderData: _folder,
    settings.ManifestData: _manifest,
    settings.JamendoData: _jamendo,
}


def load_manifest(data: settings.DataSettings) -> Manifest:
    """The usable tracks of a source, with their durations, and the files that were skipped.

    Files are measured once; the next call reads the cache. Shards have been measured when they
    were written. Of the tracks with the same content, over all sources of a mix, the first is used;
    of these, `max_hours`.

    Raises:
        SslAudioError: a source cannot be read or has no usable audio, or no track fits `max_hours`.
    """
    parts = data.parts() if isinstance(data, settings.MixData) else (data,)
    found = _joined([_read(part) for part in parts])
    used = without_duplicates(found) if data.duplicates == "drop" else found
    return used if data.max_hours is None else _limited(used, data.max_hours)


def _limited(found: Manifest, hours: float) -> Manifest:
    """Tracks of up to `hours` in all; a smaller limit leaves some of those of a larger one."""
    order = np.random.default_rng(0).permutation(len(found.tracks))
    ends = np.cumsum([found.tracks[place].duration for place in order]) / 3600
    kept = sorted(order[ends <= hours])
    if not kept:
        raise SslAudioError(
            f"data.max_hours={hours:g}: no track; the first in the order of all limits has "
            f"{ends[0]:.2g} h"
        )
    return replace(found, tracks=[found.tracks[place] for place in kept])


def _read(data: settings.DataSettings) -> Manifest:
    if isinstance(data, settings.ShardData):
        return Manifest(shards.open_shards(data.root).tracks, [])
    found = scan.scan(SOURCES[type(data)](data), cache=data.cache)
    if not found.tracks:
        raise SslAudioError(
            f"data.root={getattr(data, 'root', None)}: no usable audio ({found.summary()}). "
            "Name a folder of audio, or train on synthesised music: data=demo"
        )
    return found


def _joined(found: list[Manifest]) -> Manifest:
    """The manifests of several sources as one, whose tracks have their source's number.

    A file that several sources name belongs to the first.
    """
    if len(found) == 1:
        return found[0]
    tracks: dict[str, Track] = {}
    skipped: dict[str, Skipped] = {}
    for number, manifest in enumerate(found):
        for track in manifest.tracks:
            tracks.setdefault(track.path, replace(track, source=number))
        skipped |= {one.path: one for one in manifest.skipped}
    repeated = sum(len(one.tracks) + one.duplicates for one in found) - len(tracks)
    return Manifest(list(tracks.values()), list(skipped.values()), repeated)
