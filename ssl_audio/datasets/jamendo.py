"""MTG-Jamendo: full tracks with tags of genre, instrument, and mood or theme.

Bogdanov et al. 2019, "The MTG-Jamendo dataset for automatic music tagging"; github.com/MTG/
mtg-jamendo-dataset. The audio is under the Creative Commons licence that its artist chose.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from ssl_audio.audio.sources import read_jamendo
from ssl_audio.datasets.dataset import (
    SPLITS,
    LabelledData,
    LabelledTrack,
    Listed,
    require_folder,
    splits_of,
)
from ssl_audio.settings.fields import SettingError, setting

# folders below the root that may hold the audio, by the name of the publisher's download
LAYOUTS = {
    "raw_30s": ("", "raw_30s/audio", "audio", "autotagging_moodtheme/audio", "raw_30s"),
    "audio-low": ("", "audio-low", "raw_30s/audio-low", "autotagging_moodtheme/audio-low"),
    "full": ("", "raw/audio", "audio", "raw"),
}
LOW = ".low"  # ends the names of files in audio-low, before the suffix


class Jamendo(LabelledData):
    """Base of the three subsets.

    Attributes:
        subset: its name in the file names of the tables.
        published: published number of tracks in train, validation and test of split 0.
    """

    subset: ClassVar[str]
    published: ClassVar[tuple[int, int, int]]
    licence = "CC BY-NC-SA 4.0"
    citation = (
        "D. Bogdanov, M. Won, P. Tovstogan, A. Porter, X. Serra. The MTG-Jamendo dataset for "
        "automatic music tagging. ML4MD, ICML 2019."
    )

    root: Path = setting(help="folder of the audio, or of the publisher's folders with it")
    splits: Path | None = setting(
        None, help="folder of autotagging_*.tsv or of split-N/ with them; null: root"
    )
    split: int = setting(0, help="which of the publisher's five splits", min=0, max=4)
    layout: Literal["auto", "raw_30s", "audio-low", "full"] = setting(
        "auto", help="which of the publisher's downloads the audio is; auto: found by its files"
    )

    def read(self) -> Listed:
        root = require_folder(self.root)
        above = require_folder(self.splits, "splits") if self.splits else root
        folder = _folder_of_split(above, self.split)
        tables = {name: folder / f"autotagging_{self.subset}-{name}.tsv" for name in SPLITS}
        sizes = dict(zip(SPLITS, self.published, strict=True)) if self.split == 0 else {}
        return read_tables(tables, _audio_folder(root, tables["test"], self.layout), sizes)


class JamendoTop50(Jamendo):
    """The 50 most frequent tags."""

    name, subset, published = "jamendo_top50", "top50tags", (32136, 10888, 11356)


class JamendoInstrument(Jamendo):
    """40 instruments."""

    name, subset, published = "jamendo_instrument", "instrument", (14395, 5466, 5115)


class JamendoMood(Jamendo):
    """56 moods and themes."""

    name, subset, published = "jamendo_mood", "moodtheme", (9949, 3802, 4231)


def read_tables(
    tables: Mapping[str, Path], audio: Path, published_sizes: Mapping[str, int] | None = None
) -> Listed:
    """Read one table in MTG-Jamendo's format for each split, with paths relative to a folder.

    Raises:
        SslAudioError: a table cannot be read, or has a malformed line (with its number).
    """
    sources = {name: read_jamendo(table, audio) for name, table in tables.items()}
    tags = sorted({tag for found in sources.values() for source in found for tag in source.tags})
    artists = {source.artist for found in sources.values() for source in found}
    known = len(artists) > 1  # one name for all tracks says nothing
    tracks = [
        LabelledTrack(_identity(one.path, audio), Path(one.path), one.tags, name,
                      *((one.artist, one.group) if known else ()))
        for name, found in sources.items() for one in found
    ]  # fmt: skip
    return Listed(_without_category(tags), splits_of(tracks, tags), published_sizes or {})


def _folder_of_split(folder: Path, split: int) -> Path:
    """The folder of a split's tables. Tables outside any `split-N` are those of split 0."""
    for below in (f"split-{split}", f"data/splits/split-{split}"):
        if (folder / below).is_dir():
            return folder / below
    if split and folder.name != f"split-{split}":
        raise SettingError("split", split, f"no folder split-{split} below {folder}")
    return folder


def _audio_folder(root: Path, table: Path, layout: str) -> Path:
    """The first folder of a layout that has any of the table's first tracks; else the root."""
    names = sum(LAYOUTS.values(), ()) if layout == "auto" else LAYOUTS[layout]
    tracks = [os.path.relpath(source.path, root) for source in read_jamendo(table, root)[:200]]
    for name in dict.fromkeys(names):
        paths = [os.path.splitext(root / name / track) for track in tracks]
        if any(os.path.exists(a + b) or os.path.exists(a + LOW + b) for a, b in paths):
            return root / name
    return root


def _identity(path: str, audio: Path) -> str:
    """The path below the audio's folder, equal in all layouts."""
    stem, suffix = os.path.splitext(os.path.relpath(path, audio))
    return stem.removesuffix(LOW).replace(os.sep, "/") + suffix


def _without_category(tags: list[str]) -> tuple[str, ...]:
    """Tags without their category, if they stay unique."""
    short = tuple(tag.partition("---")[2] for tag in tags)
    return short if len(set(short)) == len(tags) else tuple(tags)
