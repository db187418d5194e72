"""The hundred-tag split of the Million Song Dataset.

Won et al. 2021, "Multimodal metric learning for tag-based music retrieval". Its audio is not
public: `template` says where one's own lies.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ssl_audio.datasets.dataset import SPLITS, Listed, Split, check_folder
from ssl_audio.datasets.plain_pickle import load_plain_pickle
from ssl_audio.io.errors import SslAudioError

EXPECTED = dict(zip(SPLITS, (71388, 15618, 15281), strict=True))
FILES = {"train": "train", "validation": "valid", "test": "test"}
CITATION = (
    "M. Won, S. Oramas, O. Nieto, F. Gouyon, X. Serra. Multimodal metric learning for tag-based "
    "music retrieval. ICASSP 2021."
)


def load(
    root: str | None, splits: str | None = None, template: str = "{a}/{b}/{c}/{id}.mp3"
) -> Listed:
    """MSD100 from the files of its publisher.

    Args:
        root: folder of the audio.
        splits: folder of `{train,valid,test}_ids.npy`, `binaries.npy`, `tags.npy` and, where it is
            there to check with, `train_tag_to_ix.pkl`; default is the root.
        template: a track's path below the root: `{id}` is its TR identifier, `{a}`, `{b}`, `{c}`
            the identifier's third, fourth and fifth letters.

    Raises:
        SslAudioError: files are missing or do not agree, or a template without `{id}`.
    """
    audio = check_folder(root)
    folder = check_folder(splits, "data.splits") if splits else audio
    tags = tuple(map(str, _array(folder / "tags.npy", 1)))
    binaries = _array(folder / "binaries.npy", 2)
    if binaries.shape[1] != len(tags):
        raise SslAudioError(f"{folder}: binaries.npy has {binaries.shape[1]} columns and tags.npy "
                            f"{len(tags)} tags")  # fmt: skip
    rows = {
        name: _rows(folder / f"{short}_ids.npy", len(binaries)) for name, short in FILES.items()
    }
    _check_names(folder / "train_tag_to_ix.pkl", tags, binaries)
    splits_found = {
        name: Split(
            tuple(track for _, track in found),
            tuple(audio / _path(template, track) for _, track in found),
            (binaries[[row for row, _ in found]] > 0).astype(np.uint8),
        )
        for name, found in rows.items()
    }
    return Listed(tags, splits_found, EXPECTED, (), CITATION)


def _array(path: Path, dimensions: int) -> np.ndarray:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise SslAudioError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    if found.ndim != dimensions:
        raise SslAudioError(f"{path}: {found.ndim} dimensions, where {dimensions} are wanted")
    return found


def _rows(path: Path, count: int) -> list[tuple[int, str]]:
    """Rows of `binaries.npy` and identifiers, from `ROW//IDENTIFIER`."""
    found = []
    for number, line in enumerate(map(str, _array(path, 1))):
        row, _, track = line.partition("//")
        if not row.isdigit() or not track or int(row) >= count:
            raise SslAudioError(f"{path}, entry {number}: {line!r} is not ROW//IDENTIFIER")
        found.append((int(row), track))
    return found


def _path(template: str, track: str) -> str:
    letters = dict(zip("abc", track[2:5], strict=False))
    try:
        path = template.format(id=track, **letters)
    except (KeyError, IndexError, ValueError) as error:
        raise SslAudioError(
            f"data.template={template}: {{id}}, {{a}}, {{b}} and {{c}} are what it may name"
        ) from error
    if "{id}" not in template:
        raise SslAudioError(f"data.template={template}: it must name {{id}}")
    return path


def _check_names(path: Path, tags: tuple[str, ...], binaries: np.ndarray) -> None:
    """The publisher's own list of each tag's tracks proves the order of the columns."""
    if not path.is_file():
        return
    by_tag = load_plain_pickle(path)
    if not isinstance(by_tag, dict):
        raise SslAudioError(f"{path}: a list of tracks for each tag is wanted")
    for column, tag in enumerate(tags):
        listed = {int(str(line).partition("//")[0]) for line in by_tag.get(tag, ())}
        if not all(0 <= row < len(binaries) and binaries[row, column] for row in listed):
            raise SslAudioError(f"{path}: the tracks of {tag!r} are not those of column {column}")
