"""Audio that is in two splits of a data set: the same file, or a copy of it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.files import file_sha256

SAMPLE_BYTES = 1 << 12  # read of each file of a common size, before whole files are hashed
SHOWN = 3  # examples in a message


@dataclass(frozen=True)
class FileStatus:
    """A file's size in bytes, and its identity, whatever name it is reached by."""

    size: int
    identity: Hashable


def status_of(path: Path) -> FileStatus | None:
    """The status of an existing file; None for a missing one."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    identity = (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)
    return FileStatus(found.st_size, identity)


def refuse_shared_files(
    name: str, ids: Sequence[tuple[str, str]], statuses: Sequence[FileStatus]
) -> None:
    """Refuse a file that is listed more than once, under any spelling of its path or by a link.

    Args:
        name: of the data set.
        ids: (split, track id) of each file.
        statuses: of each file.

    Raises:
        SslAudioError: with the number of such files and some of their ids.
    """
    shared = _groups(range(len(ids)), lambda row: statuses[row].identity)
    if shared:
        examples = [" = ".join(f"{ids[r][1]} ({ids[r][0]})" for r in rows) for rows in shared]
        raise SslAudioError(
            f"{name}: {len(shared)} files are listed more than once: {_some(examples)}"
        )


def identical_audio(
    ids: Sequence[tuple[str, str]], paths: Sequence[Path], statuses: Sequence[FileStatus]
) -> list[str]:
    """Notes on byte-identical files in two splits, one note for each pair of splits.

    Only files of one size are compared: first `SAMPLE_BYTES` of them, then hashes of what still
    agrees.
    """
    groups = [list(range(len(ids)))]
    keys: tuple[Callable[[int], Hashable], ...] = (
        lambda row: statuses[row].size,
        lambda row: _sample(paths[row]),
        lambda row: file_sha256(paths[row]),
    )
    for key in keys:
        groups = [
            found
            for rows in groups
            for found in _groups(rows, key)
            if len({ids[row][0] for row in found}) > 1
        ]
    copies: dict[tuple[str, str], list[str]] = defaultdict(list)
    for first, *others in groups:
        for row in others:
            if ids[row][0] != ids[first][0]:
                copies[ids[row][0], ids[first][0]].append(f"{ids[row][1]} = {ids[first][1]}")
    sizes = Counter(split for split, _ in ids)
    return [
        f"{len(found)} of {sizes[split]} {split} tracks are byte-identical to {other} tracks: "
        f"{_some(found)}"
        for (split, other), found in copies.items()
    ]


def _groups(rows: Iterable[int], key: Callable[[int], Hashable]) -> list[list[int]]:
    """The rows that share their key with another row, by key."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return [group for group in found.values() if len(group) > 1]


def _sample(path: Path) -> Hashable:
    """A hash of the middle of a file; of an unreadable file its path, which equals no other."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, (os.fstat(file.fileno()).st_size - SAMPLE_BYTES) // 2))
            return hashlib.sha256(file.read(SAMPLE_BYTES)).digest()
    except OSError:
        return path


def _some(examples: Sequence[str]) -> str:
    return ", ".join(examples[:SHOWN]) + (", ..." if len(examples) > SHOWN else "")
