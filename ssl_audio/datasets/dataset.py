"""Labelled data sets: the base of their readers, and the three checked splits."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ssl_audio.datasets.leaks import identical_audio, refuse_shared_files
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.files import printable
from ssl_audio.settings.fields import Group, setting

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Tracks with their tags.

    Attributes:
        ids: unique, and the same on every machine.
        paths: audio files.
        targets: (tracks, tags) uint8, 0 or 1.
    """

    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    targets: np.ndarray

    def take(self, rows: Sequence[int] | np.ndarray) -> Split:
        """The tracks of these rows."""
        return Split(
            tuple(self.ids[i] for i in rows),
            tuple(self.paths[i] for i in rows),
            self.targets[np.asarray(rows, int)],
        )


@dataclass(frozen=True)
class Listed:
    """The tracks that a data set's files list; whether their audio exists is not checked yet.

    Attributes:
        tags: names of the targets' columns.
        splits: by name, those of `SPLITS`.
        published_sizes: published number of tracks by split; empty if none is published.
        notes: what limits results on this data set.
    """

    tags: tuple[str, ...]
    splits: Mapping[str, Split]
    published_sizes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaggingDataset:
    """Labelled tracks in three splits, all of whose files exist.

    Attributes:
        name: the value of `dataset=`.
        tags: names of the targets' columns.
        train, validation, test: the splits.
        missing: ids of the tracks without audio by split; they are in no split.
        notes: what limits results on this data set.
        citation, licence: of the annotations.
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


@dataclass(frozen=True, kw_only=True)
class LabelledData(Group):
    """Base of all data sets: declares the settings `data.*` and reads the publisher's files.

    Attributes:
        name: the value of `dataset=`.
        citation: the publication to cite.
        licence: of the annotations.
    """

    name: ClassVar[str]
    citation: ClassVar[str] = ""
    licence: ClassVar[str] = ""

    allow_missing: bool = setting(False, help="leave out tracks whose audio is missing")

    def read(self) -> Listed:
        """The tracks that the data set's files list.

        Raises:
            SslAudioError: a missing or malformed file, by its name and line.
        """
        raise NotImplementedError

    def load(self) -> TaggingDataset:
        """The data set, checked.

        Tags without a positive and a negative in the training and in the test split are left out,
        with a note. So are tracks without audio, if `allow_missing`. Byte-identical files in two
        splits are noted.

        Raises:
            SslAudioError: a missing or malformed file, missing audio, a file that is listed twice,
                an empty split, or no tag that can be measured.
        """
        listed = self.read()
        splits, missing = {}, {}
        for key, split in listed.splits.items():
            exists = [os.path.exists(path) for path in split.paths]  # False for invalid names
            ids = tuple(map(printable, split.ids))  # text, whatever bytes the files' names have
            splits[key] = replace(split, ids=ids).take(np.flatnonzero(exists))
            missing[key] = tuple(i for i, found in zip(ids, exists, strict=True) if not found)
        notes = [*listed.notes, *_unexpected_sizes(listed), *self._missing_notes(listed, missing)]
        for key, split in splits.items():
            if not split.ids:
                raise SslAudioError(f"{self.name}: no track of the {key} split has audio")
        tracks = [
            (key, track, path)
            for key, split in splits.items()
            for track, path in zip(split.ids, split.paths, strict=True)
        ]
        refuse_shared_files(self.name, tracks)
        notes += identical_audio(tracks)
        dataset = TaggingDataset(
            self.name, tuple(map(printable, listed.tags)), splits["train"], splits["validation"],
            splits["test"], missing, tuple(map(printable, notes)), self.citation, self.licence,
        )  # fmt: skip
        return _without_constant_tags(dataset)

    def _missing_notes(self, listed: Listed, missing: Mapping[str, tuple[str, ...]]) -> list[str]:
        total = sum(len(split.ids) for split in listed.splits.values())
        lost = [track for ids in missing.values() for track in ids]
        if not lost:
            return []
        if len(lost) == total:
            first = next(path for split in listed.splits.values() for path in split.paths)
            raise SslAudioError(
                f"none of the {total} audio files of {self.name} exists, for example {first}: is "
                "data.root right?"
            )
        counts = ", ".join(
            f"{len(ids)} of {len(listed.splits[key].ids)} {key}" for key, ids in missing.items()
        )
        if not self.allow_missing:
            raise SslAudioError(
                f"{self.name}: audio is missing for {counts} tracks, for example {lost[0]}; to "
                "leave them out: data.allow_missing=true"
            )
        return [f"audio was missing for {counts} tracks: not a result on the whole data set"]


def _unexpected_sizes(listed: Listed) -> list[str]:
    return [
        f"the {key} split has {len(listed.splits[key].ids)} tracks; {count} are published"
        for key, count in listed.published_sizes.items()
        if len(listed.splits[key].ids) != count
    ]


def _without_constant_tags(dataset: TaggingDataset) -> TaggingDataset:
    varies = np.logical_and(*(
        (split.targets.min(0) == 0) & (split.targets.max(0) == 1)
        for split in (dataset.train, dataset.test)
    ))  # fmt: skip
    if varies.all():
        return dataset
    if not varies.any():
        raise SslAudioError(
            f"{dataset.name}: no tag has positives and negatives in the training and test splits"
        )
    lost = [tag for tag, ok in zip(dataset.tags, varies, strict=True) if not ok]
    note = (
        f"{len(lost)} tags were left out, having no positive or no negative in the training or "
        f"test split: {', '.join(lost)}"
    )
    kept: dict[str, Any] = {
        name: replace(split, targets=split.targets[:, varies]) for name, split in dataset.splits()
    }
    tags = tuple(tag for tag, ok in zip(dataset.tags, varies, strict=True) if ok)
    return replace(dataset, tags=tags, notes=(*dataset.notes, note), **kept)


def require_folder(folder: Path, key: str = "data.root") -> Path:
    """The resolved path of an existing folder; `SslAudioError` if there is none."""
    if not folder.is_dir():
        raise SslAudioError(f"{key}={folder}: no such folder")
    return folder.resolve()


def multi_hot(tags_of: Sequence[Iterable[str]], tags: Sequence[str]) -> np.ndarray:
    """(tracks, tags) uint8, 1 for each tag of a track; tags outside `tags` are ignored."""
    column = {tag: index for index, tag in enumerate(tags)}
    targets = np.zeros((len(tags_of), len(tags)), np.uint8)
    for row, found in enumerate(tags_of):
        targets[row, [column[tag] for tag in found if tag in column]] = 1
    return targets
