"""MSD100: a split of the Million Song Dataset with one hundred tags.

Won et al. 2021, "Multimodal metric learning for tag-based music retrieval"; github.com/minzwon/
tag-based-music-retrieval. Its audio is not public: `template` gives the paths of your copy.
"""

from pathlib import Path

import numpy as np

from ssl_audio.datasets.dataset import SPLITS, LabelledData, Listed, Split, require_folder
from ssl_audio.datasets.files import read_array
from ssl_audio.datasets.plain_pickle import load_plain_pickle
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.fields import SettingError, setting

PUBLISHED_SIZES = dict(zip(SPLITS, (71388, 15618, 15281), strict=True))
FILES = {"train": "train", "validation": "valid", "test": "test"}


class MSD100(LabelledData):
    """Reads `{train,valid,test}_ids.npy`, `binaries.npy` and `tags.npy`.

    The order of the tags is checked against `train_tag_to_ix.pkl` if that is beside them.
    """

    name = "msd100"
    citation = (
        "M. Won, S. Oramas, O. Nieto, F. Gouyon, X. Serra. Multimodal metric learning for "
        "tag-based music retrieval. ICASSP 2021."
    )

    root: Path = setting(help="folder of the audio")
    splits: Path | None = setting(None, help="folder of the publisher's files; null: root")
    template: str = setting(
        "{a}/{b}/{c}/{id}.mp3",
        help="path of a track below root; {id}: TR identifier, {a} {b} {c}: its 3rd to 5th letter",
    )

    def check(self) -> None:
        try:
            self._path("TRABCDE")
        except (KeyError, IndexError, ValueError):
            raise SettingError(
                "template", self.template, "a path with {id}, and if needed {a}, {b}, {c}"
            ) from None

    def read(self) -> Listed:
        audio = require_folder(self.root)
        folder = require_folder(self.splits, "splits") if self.splits else audio
        tags = tuple(map(str, _array(folder / "tags.npy", 1)))
        targets = _array(folder / "binaries.npy", 2)
        if targets.shape[1] != len(tags):
            raise SslAudioError(
                f"{folder}: binaries.npy has {targets.shape[1]} columns and tags.npy {len(tags)} "
                "tags"
            )
        rows = {
            name: _rows(folder / f"{short}_ids.npy", len(targets)) for name, short in FILES.items()
        }
        _check_order(folder / "train_tag_to_ix.pkl", tags, targets)
        splits = {
            name: Split(
                tuple(track for _, track in found),
                tuple(audio / self._path(track) for _, track in found),
                (targets[[row for row, _ in found]] > 0).astype(np.uint8),
            )
            for name, found in rows.items()
        }
        return Listed(tags, splits, PUBLISHED_SIZES)

    def _path(self, track: str) -> str:
        if "{id}" not in self.template:
            raise ValueError
        return self.template.format(id=track, **dict(zip("abc", track[2:5], strict=False)))


def _array(path: Path, dimensions: int) -> np.ndarray:
    found = read_array(path)
    if found.ndim != dimensions:
        raise SslAudioError(f"{path}: {found.ndim} dimensions; expected {dimensions}")
    return found


def _rows(path: Path, count: int) -> list[tuple[int, str]]:
    """Rows of `binaries.npy` and identifiers, of entries `ROW//IDENTIFIER`."""
    found = []
    for number, line in enumerate(map(str, _array(path, 1))):
        row, _, track = line.partition("//")
        if not row.isdigit() or not track or int(row) >= count:
            raise SslAudioError(f"{path}, entry {number}: {line!r} is not ROW//IDENTIFIER")
        found.append((int(row), track))
    return found


def _check_order(path: Path, tags: tuple[str, ...], targets: np.ndarray) -> None:
    """Compare the columns with the publisher's list of each tag's tracks, if it is there."""
    if not path.is_file():
        return
    by_tag = load_plain_pickle(path)
    if not isinstance(by_tag, dict):
        raise SslAudioError(f"{path}: not a dictionary of tag to tracks")
    for column, tag in enumerate(tags):
        listed = {int(str(line).partition("//")[0]) for line in by_tag.get(tag, ())}
        if not all(0 <= row < len(targets) and targets[row, column] for row in listed):
            raise SslAudioError(f"{path}: the tracks of {tag!r} are not those of column {column}")
