"""MTG-Jamendo, and other sets in its TSV format.

Bogdanov et al. 2019, "The MTG-Jamendo dataset for automatic music tagging". Annotations and audio
are under Creative Commons licences (the metadata CC BY-NC-SA 4.0).
"""

from __future__ import annotations

import os
from pathlib import Path

from ssl_audio.audio.sources import Source, read_jamendo
from ssl_audio.datasets.dataset import SPLITS, Listed, Split, check_folder, one_hot
from ssl_audio.io.errors import SslAudioError

EXPECTED = {
    "top50tags": (32136, 10888, 11356),
    "instrument": (14395, 5466, 5115),
    "moodtheme": (9949, 3802, 4231),
}
# where the audio may lie below the root, and how its files may be named
LAYOUTS = {
    "raw_30s": ("", "raw_30s/audio", "audio", "autotagging_moodtheme/audio", "raw_30s"),
    "audio-low": ("", "audio-low", "raw_30s/audio-low", "autotagging_moodtheme/audio-low"),
    "full": ("", "raw/audio", "audio", "raw"),
}
LOW = ".low"
CITATION = (
    "D. Bogdanov, M. Won, P. Tovstogan, A. Porter, X. Serra. The MTG-Jamendo dataset for automatic "
    "music tagging. ML4MD, ICML 2019."
)


def load_top50(
    root: str | None, splits: str | None = None, split: int = 0, layout: str = "auto"
) -> Listed:
    """The 50 most frequent tags.

    Args:
        root: folder of the audio, or one that has it in a folder named as the publisher does.
        splits: folder of `autotagging_top50tags-*.tsv`, or of `split-N/` or `data/splits/split-N/`
            with them; default is the root. Those that lie in no split's folder are split 0.
        split: which of the five, 0 to 4.
        layout: "raw_30s", "audio-low" (files named NAME.low.mp3), "full", or "auto", which looks.
    """
    return _load("top50tags", root, splits, split, layout)


def load_instrument(
    root: str | None, splits: str | None = None, split: int = 0, layout: str = "auto"
) -> Listed:
    """The 40 instruments; arguments as `load_top50`."""
    return _load("instrument", root, splits, split, layout)


def load_mood(
    root: str | None, splits: str | None = None, split: int = 0, layout: str = "auto"
) -> Listed:
    """The 56 moods and themes; arguments as `load_top50`."""
    return _load("moodtheme", root, splits, split, layout)


def load_scores(root: str | None) -> Listed:
    """`scores-{train,validation,test}.tsv` and `audio/` in one folder."""
    folder = check_folder(root)
    tables = {name: folder / f"scores-{name}.tsv" for name in SPLITS}
    return _listed(tables, folder / "audio", {}, "", "")


def _load(subset: str, root: str | None, splits: str | None, split: int, layout: str) -> Listed:
    folder = check_folder(root)
    tables_in = _tables_in(check_folder(splits, "data.splits") if splits else folder, split)
    tables = {name: tables_in / f"autotagging_{subset}-{name}.tsv" for name in SPLITS}
    audio = _audio_folder(folder, tables["test"], layout)
    expected = dict(zip(SPLITS, EXPECTED[subset], strict=True)) if split == 0 else {}
    return _listed(tables, audio, expected, CITATION, "CC BY-NC-SA 4.0")


def _tables_in(folder: Path, split: int) -> Path:
    """The folder of a split's tables. Tables that lie in no `split-N` are those of split 0."""
    if split not in range(5):
        raise SslAudioError(f"data.split={split}: 0 to 4")
    for below in (f"split-{split}", f"data/splits/split-{split}"):
        if (folder / below).is_dir():
            return folder / below
    if split and folder.name != f"split-{split}":
        raise SslAudioError(f"data.split={split}: no folder split-{split} below {folder}")
    return folder


def _audio_folder(root: Path, table: Path, layout: str) -> Path:
    """The folder of the audio: the first that has any of the test split's first tracks."""
    if layout != "auto" and layout not in LAYOUTS:
        raise SslAudioError(f"data.layout={layout}: auto, {', '.join(LAYOUTS)}")
    names = LAYOUTS[layout] if layout != "auto" else sum(LAYOUTS.values(), ())
    for name in dict.fromkeys(names):
        sources = read_jamendo(table, root / name)[:200]
        if any(os.path.exists(source.path) for source in sources):
            return root / name
    return root


def _listed(
    tables: dict[str, Path], audio: Path, expected: dict[str, int], citation: str, licence: str
) -> Listed:
    sources = {name: read_jamendo(table, audio) for name, table in tables.items()}
    tags = sorted({tag for found in sources.values() for source in found for tag in source.tags})
    splits = {name: _split(found, audio, tags) for name, found in sources.items()}
    return Listed(_short(tags), splits, expected, citation=citation, licence=licence)


def _split(sources: list[Source], audio: Path, tags: list[str]) -> Split:
    ids = tuple(_identity(source.path, audio) for source in sources)
    return Split(
        ids, tuple(Path(s.path) for s in sources), one_hot([s.tags for s in sources], tags)
    )


def _identity(path: str, audio: Path) -> str:
    stem, suffix = os.path.splitext(os.path.relpath(path, audio))
    return stem.removesuffix(LOW).replace(os.sep, "/") + suffix


def _short(tags: list[str]) -> tuple[str, ...]:
    """Without the category, where that leaves them apart."""
    short = tuple(tag.partition("---")[2] for tag in tags)
    return short if len(set(short)) == len(tags) else tuple(tags)
