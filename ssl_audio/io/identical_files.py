"""Which of many files have the same bytes, reading as little of them as that takes."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from ssl_audio.io.errors import AudioError
from ssl_audio.io.files import AnyPath, file_sha256, regular_size

SAMPLE_BYTES = 1 << 12  # of files of equal size, compared before whole files are read

Places = list[int]
Item = TypeVar("Item")


def identical_files(
    paths: Sequence[AnyPath], relevant: Callable[[Places], bool] = lambda places: True
) -> list[Places]:
    """Groups of files with equal content.

    Sizes are compared first, then samples of files of equal size, then hashes of files with equal
    samples.

    Args:
        paths: the files; one that cannot be read equals none.
        relevant: candidates for a group, as places in `paths`, of which it says False are not
            compared further.

    Returns:
        Places in `paths`, ascending, of two files or more for each content.
    """
    groups = [list(range(len(paths)))]
    for read in (regular_size, _sample, file_sha256):
        keys = {place: _key(read, paths[place]) for group in groups for place in group}
        found = [equal for group in groups for equal in groups_by(group, keys.__getitem__)]
        groups = [group for group in found if relevant(group)]
    return groups


def groups_by(items: Iterable[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    """The items that share their key with another one, by key."""
    found: dict[Hashable, list[Item]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return [group for group in found.values() if len(group) > 1]


def _sample(path: AnyPath) -> Hashable:
    """Hash of bytes from the middle of a file."""
    with open(path, "rb") as file:
        file.seek(max(0, (os.fstat(file.fileno()).st_size - SAMPLE_BYTES) // 2))
        return hashlib.sha256(file.read(SAMPLE_BYTES)).digest()


def _key(read: Callable[[AnyPath], Hashable], path: AnyPath) -> Hashable:
    """What `read` finds of a file; the path of one that cannot be read."""
    try:
        return read(path)
    except (AudioError, OSError):
        return os.fspath(path)
