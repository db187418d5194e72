"""MagnaTagATune: 50 tags of 29 s clips.

Law et al. 2009, "Evaluation of algorithms using games: the case of music tagging"; mirg.city.ac.uk/
codeapps/the-magnatagatune-dataset.
"""

import csv
from pathlib import Path
from typing import Literal

import numpy as np

from ssl_audio.datasets.dataset import SPLITS, LabelledData, Listed, Split, require_folder
from ssl_audio.datasets.files import read_array, reading
from ssl_audio.datasets.plain_pickle import load_plain_pickle
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.fields import setting

PUBLISHED_SIZES = dict(zip(SPLITS, (15244, 1529, 4332), strict=True))
FILES = {"train": "train", "validation": "valid", "test": "test"}
TAGS = 50
FOLDERS = {"train": "0123456789ab", "validation": "c", "test": "def"}
DAMAGED = (  # empty in the published archive
    "6/norine_braun-now_and_zen-08-gently-117-146.mp3",
    "8/jacob_heringman-josquin_des_prez_lute_settings-19-gintzler__pater_noster-204-233.mp3",
    "9/american_baroque-dances_and_suites_of_rameau_and_couperin-25-le_petit_rien_xiveme_ordre"
    "_couperin-88-117.mp3",
)


class MagnaTagATune(LabelledData):
    name = "mtat"
    licence = "CC BY-NC-SA 3.0"
    citation = (
        "E. Law, K. West, M. Mandel, M. Bay, J. S. Downie. Evaluation of algorithms using games: "
        "the case of music tagging. ISMIR 2009."
    )

    root: Path = setting(help="folder of the clips, 0/ to f/")
    splits: Path | None = setting(None, help="folder of the split's files; null: root")
    scheme: Literal["published", "folders"] = setting(
        "published",
        help="*_list_pub.cP and y_*_pub.npy; or folders 0-b, c, d-f and annotations_final.csv",
    )

    def read(self) -> Listed:
        audio = require_folder(self.root)
        folder = require_folder(self.splits, "splits") if self.splits else audio
        return (_published if self.scheme == "published" else _by_folder)(audio, folder)


def _published(audio: Path, folder: Path) -> Listed:
    splits = {}
    for name, short in FILES.items():
        clips = load_plain_pickle(folder / f"{short}_list_pub.cP")
        targets = _targets(folder / f"y_{short}_pub.npy")
        if not isinstance(clips, list) or len(clips) != len(targets):
            raise SslAudioError(
                f"{folder}: {short}_list_pub.cP lists {len(clips)} clips and y_{short}_pub.npy has "
                f"{len(targets)} rows"
            )
        ids = tuple(str(clip).removesuffix(".npy") + ".mp3" for clip in clips)
        splits[name] = Split(ids, tuple(audio / i for i in ids), targets)
    tags, note = _names(folder, splits)
    return Listed(tags, splits, PUBLISHED_SIZES, (note,) if note else ())


def _targets(path: Path) -> np.ndarray:
    targets = read_array(path)
    if targets.ndim != 2 or targets.shape[1] != TAGS or not np.isin(targets, (0, 1)).all():
        raise SslAudioError(f"{path}: {targets.shape}; expected 0 and 1 of (clips, {TAGS})")
    return targets.astype(np.uint8)


def _names(folder: Path, splits: dict[str, Split]) -> tuple[tuple[str, ...], str]:
    """Names of the targets' columns, and a note if they are not certain."""
    if (folder / "annotations_final.csv").is_file():
        return _names_by_annotations(folder, splits), ""
    listed = folder / "top50_tags.txt"
    lines = listed.read_text().split("\n") if listed.is_file() else []
    names = tuple(line.strip() for line in lines if line)
    if len(names) == TAGS:
        return names, (
            "the tags' names follow top50_tags.txt, unchecked; annotations_final.csv beside it "
            "would identify each column"
        )
    note = "the tags' names are unknown: no annotations_final.csv, no top50_tags.txt of 50 names"
    return tuple(f"tag {i}" for i in range(TAGS)), note


def _names_by_annotations(folder: Path, splits: dict[str, Split]) -> tuple[str, ...]:
    """The annotation that has the same positives as each column."""
    names, rows = _annotations(folder)
    ids = [i for split in splits.values() for i in split.ids]
    missing = [i for i in ids if i not in rows]
    if missing:
        raise SslAudioError(f"{folder}: annotations_final.csv has no clip {missing[0]}")
    annotated = np.array([rows[i] for i in ids], np.uint8)
    targets = np.concatenate([split.targets for split in splits.values()])
    known = {annotated[:, k].tobytes(): names[k] for k in range(len(names))}
    found = [known.get(np.ascontiguousarray(targets[:, k]).tobytes()) for k in range(TAGS)]
    if None in found:
        raise SslAudioError(
            f"{folder}: column {found.index(None)} of the targets is no tag of "
            "annotations_final.csv"
        )
    return tuple(name for name in found if name)


def _by_folder(audio: Path, folder: Path) -> Listed:
    names, rows = _annotations(folder)
    kept = {clip: row for clip, row in sorted(rows.items()) if clip not in DAMAGED}
    counts = np.stack(list(kept.values())).sum(axis=0, dtype=np.int64)
    top = sorted(range(len(names)), key=lambda k: (-counts[k], names[k]))[:TAGS]
    splits = {}
    for split, folders in FOLDERS.items():
        clips = tuple(c for c, row in kept.items() if c[0] in folders and row[top].any())
        targets = np.array([kept[clip][top] for clip in clips], np.uint8).reshape(-1, len(top))
        splits[split] = Split(clips, tuple(audio / clip for clip in clips), targets)
    return Listed(tuple(names[k] for k in top), splits, PUBLISHED_SIZES)


def _annotations(folder: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of all tags, and each clip's row of 0 and 1."""
    path = folder / "annotations_final.csv"
    with reading(path), path.open(encoding="utf-8", errors="replace", newline="") as file:
        header, *lines = list(csv.reader(file, delimiter="\t")) or [[]]
    if not lines or header[0] != "clip_id" or header[-1] != "mp3_path":
        raise SslAudioError(f"{path}: expected columns clip_id, tags, mp3_path (tabs between them)")
    rows = {}
    for number, line in enumerate(lines, 2):
        if len(line) != len(header) or not set(line[1:-1]) <= {"0", "1"}:
            wrong = f"{len(line)} columns of {len(header)}, or a tag that is neither 0 nor 1"
            raise SslAudioError(f"{path}, line {number}: {wrong}")
        rows[line[-1]] = np.array(line[1:-1], dtype="U1").astype(np.uint8)
    return header[1:-1], rows
