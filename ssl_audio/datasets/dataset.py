"""Labelled data sets: the base of their readers, and the three checked splits."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ssl_audio.datasets.leaks import identical_audio, refuse_shared_files
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.files import printable
from ssl_audio.settings.fields import Group, SettingError, setting

SPLITS = ("train", "validation", "test")
SELECTION_SHARE = 0.2  # of the training tracks, where the validation split is measured
UNLABELLED = 2  # in targets: whether the track has the tag is not known


@dataclass(frozen=True)
class Split:
    """Tracks with their tags.

    Attributes:
        ids: unique, and the same on every machine.
        paths: audio files.
        targets: (tracks, tags) uint8: 0, 1 or UNLABELLED.
        artists, groups: artist and group (such as an album) of each track, "" where unknown; empty
            where the data set knows none.
    """

    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    targets: np.ndarray
    artists: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def take(self, rows: Sequence[int] | np.ndarray) -> Split:
        """The tracks of these rows."""
        return Split(
            tuple(self.ids[i] for i in rows),
            tuple(self.paths[i] for i in rows),
            self.targets[np.asarray(rows, int)],
            tuple(self.artists[i] for i in rows) if self.artists else (),
            tuple(self.groups[i] for i in rows) if self.groups else (),
        )

    @property
    def clusters(self) -> tuple[str, ...]:
        """What each track is resampled with: its artist, else its group, else itself."""
        unknown = ("",) * len(self.ids)
        return tuple(
            f"artist {artist}" if artist else f"group {group}" if group else f"track {track}"
            for track, artist, group in zip(
                self.ids, self.artists or unknown, self.groups or unknown, strict=True
            )
        )


@dataclass(frozen=True)
class LabelledTrack:
    """A track with its tags, and its split or None; artist and group are "" where unknown."""

    id: str
    path: Path
    tags: Collection[str]
    split: str | None = None
    artist: str = ""
    group: str = ""


@dataclass(frozen=True)
class Classes:
    """Tags of which each track has exactly one.

    Attributes:
        credits: further metrics by their titles: (tags, tags) points, 0 to 1, for the prediction of
            the column's tag where the row's is true.
    """

    credits: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Listed:
    """The tracks that a data set's files list; whether their audio exists is not checked yet.

    Attributes:
        tags: names of the targets' columns.
        splits: by name, those of `SPLITS`.
        published_sizes: published number of tracks by split; empty if none is published.
        notes: what limits results on this data set.
        classes: None if a track may have any number of tags.
    """

    tags: tuple[str, ...]
    splits: Mapping[str, Split]
    published_sizes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    classes: Classes | None = None


@dataclass(frozen=True)
class TaggingDataset:
    """Labelled tracks in three splits, all of whose files exist.

    Attributes:
        name: the value of `dataset=`, and the task if there are several.
        tags: names of the targets' columns.
        train, validation, test: the splits.
        missing: ids of the tracks without audio by split; they are in no split.
        notes: what limits results on this data set.
        citation, licence: of the annotations.
        classes: None if a track may have any number of tags.
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
    classes: Classes | None = None

    def splits(self) -> Iterator[tuple[str, Split]]:
        """The splits with their names."""
        for name in SPLITS:
            yield name, getattr(self, name)

    def for_choices(self, seed: int = 0) -> TaggingDataset:
        """The data set for choices between encoders, which must not see the test split.

        The validation split is measured in place of the test split. A fifth of the training tracks,
        whole artists or groups where they are known, takes the place of the validation split.

        Raises:
            SslAudioError: no artist has few enough training tracks, or no tag can be measured.
        """
        train, rows = self.train, np.arange(len(self.train.ids))
        apart = np.isin(rows, _rows_apart(train.clusters, round(SELECTION_SHARE * len(rows)), seed))
        if not apart.any():
            raise SslAudioError(
                f"{self.name}: too few training tracks or artists to choose with: "
                f"{len(rows)} tracks, {len(set(train.clusters))} artists"
            )
        note = f"measured on the validation split, with {apart.sum()} training tracks in its place"
        return _without_constant_tags(replace(
            self, train=train.take(rows[~apart]), validation=train.take(rows[apart]),
            test=self.validation, notes=(*self.notes, note),
            missing={**dict.fromkeys(SPLITS, ()), "train": self.missing.get("train", ()),
                     "test": self.missing.get("validation", ())},
        ))  # fmt: skip

    @property
    def hash(self) -> str:
        """SHA-256 of name, tags, ids and targets."""
        digest = hashlib.sha256(json.dumps([self.name, self.tags]).encode())
        for name, split in self.splits():
            digest.update(json.dumps([name, split.ids]).encode())
            digest.update(np.ascontiguousarray(split.targets, np.uint8).tobytes())
        return digest.hexdigest()


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

    @property
    def title(self) -> str:
        """The name in results; that of a data set of several tasks has its `task`."""
        return ", ".join([self.name, *([self.task] if hasattr(self, "task") else [])])

    def read(self) -> Listed:
        """The tracks that the data set's files list.

        Raises:
            SettingError: a wrong value, by its key within the group.
            SslAudioError: a missing or malformed file, by its name and line.
        """
        raise NotImplementedError

    def load(self, group: str = "data") -> TaggingDataset:
        """The data set, checked.

        Tags without a positive and a negative in the training and in the test split are left out,
        with a note; classes are all kept, those without a training or a test track are noted.
        Tracks without audio are left out, if `allow_missing`. Byte-identical files in two splits
        are noted.

        Args:
            group: the group of these settings in the command's, for errors.

        Raises:
            SslAudioError: a missing or malformed file, missing audio, a file that is listed twice,
                an empty split, or no tag that can be measured.
        """
        try:
            listed = self.read()
        except SettingError as error:
            raise error.below(group) from error
        splits, missing = {}, {}
        for key, split in listed.splits.items():
            exists = [os.path.exists(path) for path in split.paths]  # False for invalid names
            ids, artists, groups = (  # text, whatever bytes the files' names have
                tuple(map(printable, names)) for names in (split.ids, split.artists, split.groups)
            )
            text = replace(split, ids=ids, artists=artists, groups=groups)
            splits[key] = text.take(np.flatnonzero(exists))
            missing[key] = tuple(i for i, found in zip(ids, exists, strict=True) if not found)
        notes = [*listed.notes, *_unexpected_sizes(listed)]
        notes += self._missing_notes(listed, missing, group)
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
            self.title, tuple(map(printable, listed.tags)), splits["train"], splits["validation"],
            splits["test"], missing, tuple(map(printable, notes)), self.citation, self.licence,
            listed.classes,
        )  # fmt: skip
        return _without_constant_tags(dataset)

    def _missing_notes(
        self, listed: Listed, missing: Mapping[str, tuple[str, ...]], group: str
    ) -> list[str]:
        total = sum(len(split.ids) for split in listed.splits.values())
        lost = [track for ids in missing.values() for track in ids]
        if not lost:
            return []
        if len(lost) == total:
            first = next(path for split in listed.splits.values() for path in split.paths)
            raise SslAudioError(
                f"none of the {total} audio files of {self.name} exists, for example {first}: is "
                f"{group}.root right?"
            )
        counts = ", ".join(
            f"{len(ids)} of {len(listed.splits[key].ids)} {key}" for key, ids in missing.items()
        )
        if not self.allow_missing:
            raise SslAudioError(
                f"{self.name}: audio is missing for {counts} tracks, for example {lost[0]}; to "
                f"leave them out: {group}.allow_missing=true"
            )
        return [f"audio was missing for {counts} tracks: not a result on the whole data set"]


def _rows_apart(clusters: Sequence[str], count: int, seed: int) -> list[int]:
    """Rows of whole clusters in random order, as far as they are `count` rows or fewer."""
    members: dict[str, list[int]] = {}
    for row, name in enumerate(clusters):
        members.setdefault(name, []).append(row)
    rows: list[int] = []
    order = np.random.default_rng(seed).permutation(len(members))
    for own in [list(members.values())[k] for k in order]:
        if len(rows) + len(own) <= count:
            rows += own
    return rows


def _unexpected_sizes(listed: Listed) -> list[str]:
    return [
        f"the {key} split has {len(listed.splits[key].ids)} tracks; {count} are published"
        for key, count in listed.published_sizes.items()
        if len(listed.splits[key].ids) != count
    ]


def _without_constant_tags(dataset: TaggingDataset) -> TaggingDataset:
    varies = varying_tags(dataset.train, dataset.test)
    if varies.all():
        return dataset
    if not varies.any():
        raise SslAudioError(
            f"{dataset.name}: no tag has positives and negatives in the training and test splits"
        )
    lost = [tag for tag, ok in zip(dataset.tags, varies, strict=True) if not ok]
    if dataset.classes is not None:
        note = f"{len(lost)} classes have no training or no test track: {', '.join(lost)}"
        return replace(dataset, notes=(*dataset.notes, note))
    note = (
        f"{len(lost)} tags were left out, having no positive or no negative in the training or "
        f"test split: {', '.join(lost)}"
    )
    kept: dict[str, Any] = {
        name: replace(split, targets=split.targets[:, varies]) for name, split in dataset.splits()
    }
    tags = tuple(tag for tag, ok in zip(dataset.tags, varies, strict=True) if ok)
    return replace(dataset, tags=tags, notes=(*dataset.notes, note), **kept)


def varying_tags(*splits: Split) -> np.ndarray:
    """(tags,) bool: True for tags that have a positive and a negative in each split."""
    by_split = [(one.targets == 0).any(0) & (one.targets == 1).any(0) for one in splits]
    return np.logical_and.reduce(by_split)


def require_folder(folder: Path, key: str = "root") -> Path:
    """The resolved path of an existing folder; `SettingError` if there is none."""
    if not folder.is_dir():
        raise SettingError(key, folder, "no such folder")
    return folder.resolve()


def splits_of(tracks: Sequence[LabelledTrack], tags: Sequence[str]) -> dict[str, Split]:
    """Tracks by split, in their order, with the tags as columns of the targets."""
    members = {name: [track for track in tracks if track.split == name] for name in SPLITS}
    return {
        name: Split(
            tuple(track.id for track in own),
            tuple(track.path for track in own),
            multi_hot([track.tags for track in own], tags),
            *(names if any(names := tuple(getattr(track, key) for track in own)) else ()
              for key in ("artist", "group")),
        )
        for name, own in members.items()
    }  # fmt: skip


def multi_hot(tags_of: Sequence[Iterable[str]], tags: Sequence[str]) -> np.ndarray:
    """(tracks, tags) uint8, 1 for each tag of a track; tags outside `tags` are ignored."""
    column = {tag: index for index, tag in enumerate(tags)}
    targets = np.zeros((len(tags_of), len(tags)), np.uint8)
    for row, found in enumerate(tags_of):
        targets[row, [column[tag] for tag in found if tag in column]] = 1
    return targets
