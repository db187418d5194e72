"""OpenMIC-2018: 20 instruments of 10 s clips, of which most labels are unknown.

Humphrey, Durand and McFee 2018, "OpenMIC-2018: an open dataset for multiple instrument
recognition"; zenodo.org/records/1432913.
"""

from pathlib import Path

import numpy as np

from ssl_audio.datasets.dataset import UNLABELLED, LabelledData, Listed, Split, require_folder
from ssl_audio.datasets.files import read_rows, read_text
from ssl_audio.datasets.random_split import hashed_share
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.fields import setting

COLUMNS = ("sample_key", "instrument", "relevance")
VALIDATION_SHARE = 0.15  # of the published training split, which has no validation part
Labels = dict[str, dict[str, bool]]  # by clip and instrument


class OpenMIC(LabelledData):
    """An instrument with a relevance of 0.5 or more is present, with less it is absent.

    The cells without a relevance are unknown: no loss and no metric has them.
    """

    name = "openmic"
    licence = "CC BY 4.0"
    citation = (
        "E. J. Humphrey, S. Durand, B. McFee. OpenMIC-2018: an open dataset for multiple "
        "instrument recognition. ISMIR 2018."
    )

    root: Path = setting(
        help="folder of audio/, partitions/ and openmic-2018-aggregated-labels.csv"
    )
    seed: int = setting(0, help="seed of the validation part of the training clips", min=0)

    def read(self) -> Listed:
        root = require_folder(self.root)
        labels = _labels(root / "openmic-2018-aggregated-labels.csv")
        tags = sorted({instrument for own in labels.values() for instrument in own})
        train = _partition(root, "train")
        apart = {clip for clip in train if hashed_share(clip, self.seed) < VALIDATION_SHARE}
        clips = {
            "train": [clip for clip in train if clip not in apart],
            "validation": [clip for clip in train if clip in apart],
            "test": _partition(root, "test"),
        }
        splits = {name: _split(root, own, tags, labels) for name, own in clips.items()}
        share = f"{VALIDATION_SHARE:.0%} of the training split"
        note = f"the validation split is {share}, drawn at random, seed {self.seed}"
        return Listed(tuple(tags), splits, notes=(note,))


def _split(root: Path, clips: list[str], tags: list[str], labels: Labels) -> Split:
    targets = np.full((len(clips), len(tags)), UNLABELLED, np.uint8)
    column = {tag: index for index, tag in enumerate(tags)}
    for row, clip in enumerate(clips):
        for instrument, present in labels.get(clip, {}).items():
            targets[row, column[instrument]] = present
    paths = tuple(root / "audio" / clip[:3] / f"{clip}.ogg" for clip in clips)
    return Split(tuple(clips), paths, targets)


def _partition(root: Path, name: str) -> list[str]:
    """The clips of a published partition: one in a line."""
    return read_text(root / "partitions" / f"split01_{name}.csv").split()


def _labels(path: Path) -> Labels:
    labels: Labels = {}
    for where, row in read_rows(path, COLUMNS):
        labels.setdefault(row["sample_key"], {})[row["instrument"]] = _present(row, where)
    return labels


def _present(row: dict[str, str], where: str) -> bool:
    try:
        relevance = float(row["relevance"])
    except (TypeError, ValueError):
        relevance = -1.0
    if not 0 <= relevance <= 1 or not row["instrument"]:
        raise SslAudioError(f"{where}: expected an instrument and a relevance from 0 to 1")
    return relevance >= 0.5
