"""A tagged dataset in three splits, and how one is loaded by its name."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ssl_audio.io.errors import SslAudioError

SPLITS = ("train", "validation", "test")
# Where each dataset's files are read: module below `ssl_audio.datasets`, and its function.
LOADERS = {
    "mtat": "mtat.load",
    "jamendo_top50": "jamendo.load_top50",
    "jamendo_instrument": "jamendo.load_instrument",
    "jamendo_mood": "jamendo.load_mood",
    "msd100": "msd100.load",
    "scores": "jamendo.load_scores",
    "folder": "folder.load_folder",
    "csv": "folder.load_csv",
}


@dataclass(frozen=True)
class Split:
    """Some tracks with their tags.

    Attributes:
        ids: unique and the same on every machine.
        paths: audio files.
        targets: (tracks, tags) uint8, 0 or 1.
    """

    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    targets: np.ndarray

    def take(self, rows: Sequence[int]) -> Split:
        """The tracks of these rows."""
        return Split(
            tuple(self.ids[i] for i in rows),
            tuple(self.paths[i] for i in rows),
            self.targets[np.asarray(rows, int)],
        )


@dataclass(frozen=True)
class TaggingDataset:
    """Tagged tracks in three splits.

    Attributes:
        name: as `dataset=` takes it.
        tags: of the targets' columns.
        train, validation, test: the splits.
        missing: by split, ids of tracks whose audio is not there; they are in no split.
        notes: what every result must say.
        citation: whom to cite.
        licence: of the annotations.
    """

    name: str
    tags: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    missing: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    citation: str = ""
    licence: str = ""

    def splits(self) -> Iterator[tuple[str, Split]]:
        """The splits with their names."""
        for name in SPLITS:
            yield name, getattr(self, name)

    @property
    def hash(self) -> str:
        """SHA-256 of name, tags, ids and targets."""
        digest = hashlib.sha256(json.dumps([self.name, self.tags]).encode())
        for name, split in self.splits():
            digest.update(json.dumps([name, split.ids]).encode())
            digest.update(np.ascontiguousarray(split.targets, np.uint8).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Listed:
    """What a publisher's files say, before any audio was looked for.

    Attributes:
        tags: names of the columns.
        splits: by name; paths need not exist.
        expected: published number of tracks by split; empty where none is published.
        notes, citation, licence: as in `TaggingDataset`.
    """

    tags: tuple[str, ...]
    splits: Mapping[str, Split]
    expected: Mapping[str, int]
    notes: tuple[str, ...] = ()
    citation: str = ""
    licence: str = ""


def load_dataset(
    name: str, root: str | None, allow_missing: bool = False, **options: Any
) -> TaggingDataset:
    """Load a dataset from the files that its publisher ships.

    Tags without a positive and a negative in the training and in the test split are left out, and
    a note says which. So are tracks without audio, where that is allowed.

    Args:
        name: mtat, jamendo_top50, jamendo_instrument, jamendo_mood, msd100, scores, folder or csv.
        root: folder of the audio.
        allow_missing: go on without the tracks whose audio is not there.
        options: of the dataset's loader, by name.

    Raises:
        SslAudioError: an unknown dataset, files that are not there or malformed (with the line),
            audio that is missing, or no tag that could be measured.
    """
    listed = _loader(name, options)(root=root, **options)
    dataset = _without_missing(name, listed, allow_missing)
    return _without_constant_tags(dataset)


def _loader(name: str, options: Mapping[str, Any]) -> Callable[..., Listed]:
    if name not in LOADERS:
        raise SslAudioError(f"dataset={name} does not exist: {', '.join(LOADERS)}")
    module, function = LOADERS[name].split(".")
    loader = getattr(import_module(f"ssl_audio.datasets.{module}"), function)
    unknown = set(options) - set(inspect.signature(loader).parameters)
    if unknown:
        raise SslAudioError(f"dataset={name} has no setting data.{sorted(unknown)[0]}")
    return loader


def _without_missing(name: str, listed: Listed, allow_missing: bool) -> TaggingDataset:
    notes = [*listed.notes, *_unexpected_sizes(listed)]
    present = {key: _present(split.paths) for key, split in listed.splits.items()}
    missing = {
        key: tuple(i for i, there in zip(split.ids, present[key], strict=True) if not there)
        for key, split in listed.splits.items()
    }
    counts = {key: len(ids) for key, ids in missing.items()}
    total = sum(len(split.ids) for split in listed.splits.values())
    if sum(counts.values()) == total:
        first = listed.splits["train"].paths[0]
        raise SslAudioError(
            f"none of the {total} tracks of {name} is there, {first} for one: is data.root right?"
        )
    if any(counts.values()):
        said = ", ".join(f"{counts[k]} of {len(listed.splits[k].ids)} {k}" for k in counts)
        if not allow_missing:
            example = next(i for ids in missing.values() for i in ids)
            raise SslAudioError(
                f"{name}: audio is missing for {said} tracks ({example}, say); to go on without "
                "them: data.allow_missing=true"
            )
        notes.append(f"audio was missing for {said} tracks: no result on the whole dataset")
    splits = {
        key: split.take(np.flatnonzero(present[key]).tolist())
        for key, split in listed.splits.items()
    }
    for key, split in splits.items():
        if not split.ids:
            raise SslAudioError(f"{name}: no track of the {key} split is there")
    return TaggingDataset(
        name, listed.tags, splits["train"], splits["validation"], splits["test"], missing,
        tuple(notes), listed.citation, listed.licence,
    )  # fmt: skip


def _unexpected_sizes(listed: Listed) -> list[str]:
    return [
        f"the {key} split has {len(listed.splits[key].ids)} tracks, where {count} are published"
        for key, count in listed.expected.items()
        if len(listed.splits[key].ids) != count
    ]


def _present(paths: Iterable[Path]) -> list[bool]:
    """Whether each file is there, by listing each folder once: stats of 55,000 files take long."""
    names: dict[str, set[str]] = {}
    found = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in names:
            names[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        found.append(name in names[folder])
    return found


def _without_constant_tags(dataset: TaggingDataset) -> TaggingDataset:
    varies = [
        bool(_varies(dataset.train, tag) and _varies(dataset.test, tag))
        for tag in range(len(dataset.tags))
    ]
    if not any(varies):
        raise SslAudioError(
            f"{dataset.name}: no tag has positives and negatives in the training and test splits"
        )
    if all(varies):
        return dataset
    kept = np.flatnonzero(varies)
    lost = [tag for tag, ok in zip(dataset.tags, varies, strict=True) if not ok]
    note = (
        f"{len(lost)} tags were left out, having no positive or no negative in the training or "
        f"test split: {', '.join(lost)}"
    )
    train, validation, test = (
        replace(split, targets=split.targets[:, kept]) for _, split in dataset.splits()
    )
    return replace(
        dataset,
        tags=tuple(dataset.tags[i] for i in kept),
        train=train,
        validation=validation,
        test=test,
        notes=(*dataset.notes, note),
    )


def _varies(split: Split, tag: int) -> bool:
    return 0 < int(split.targets[:, tag].sum()) < len(split.targets)


def check_folder(root: str | None, key: str = "data.root") -> Path:
    """A folder that must be there.

    Raises:
        SslAudioError: it is not.
    """
    if root is None or not Path(root).is_dir():
        raise SslAudioError(f"{key}={root}: no such folder")
    return Path(root).resolve()


def one_hot(tags_of: Sequence[Iterable[str]], tags: Sequence[str]) -> np.ndarray:
    """(tracks, tags) uint8 of each track's tags; others are ignored."""
    column = {tag: index for index, tag in enumerate(tags)}
    targets = np.zeros((len(tags_of), len(tags)), np.uint8)
    for row, own in enumerate(tags_of):
        for tag in own:
            if tag in column:
                targets[row, column[tag]] = 1
    return targets
