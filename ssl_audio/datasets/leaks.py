"""Audio that is in two splits of a data set: the same file, or a copy of it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.files import file_sha256

SAMPLE_BYTES = 1 << 12  # of files of equal size, compared before whole files are read
SHOWN = 3  # examples in a message

Track = tuple[str, str, Path]  # split, id, existing file


def file_identity(path: Path) -> Hashable:
    """Equal for all names of one file: other spellings, links, other letter case.

    Raises:
        OSError: no such file.
    """
    found = os.stat(path)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


def refuse_shared_files(name: str, tracks: Sequence[Track]) -> None:
    """Refuse a file that a data set lists more than once.

    Raises:
        SslAudioError: with the number of such files and some of their ids.
    """
    shared = _groups(tracks, lambda track: file_identity(track[2]))
    if shared:
        examples = [" = ".join(f"{track} ({split})" for split, track, _ in of) for of in shared]
        raise SslAudioError(
            f"{name}: {len(shared)} files are listed more than once: {_some(examples)}"
        )


def identical_audio(tracks: Sequence[Track]) -> list[str]:
    """Notes on byte-identical files in two splits, one for each pair of splits.

    Sizes are compared first, then samples of files of equal size, then hashes of files with equal
    samples.
    """
    groups = [list(tracks)]
    for key in (_size, _sample, _hash):
        candidates = [found for group in groups for found in _groups(group, key)]
        groups = [found for found in candidates if len({split for split, _, _ in found}) > 1]
    copies: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (original_split, original, _), *others in groups:
        for split, track, _ in others:
            if split != original_split:
                copies[split, original_split].append(f"{track} = {original}")
    sizes = Counter(split for split, _, _ in tracks)
    return [
        f"{len(found)} of {sizes[split]} {split} tracks are byte-identical to {other} tracks: "
        f"{_some(found)}"
        for (split, other), found in copies.items()
    ]


def _groups(tracks: Iterable[Track], key: Callable[[Track], Hashable]) -> list[list[Track]]:
    """The tracks that share their key with another track, by key."""
    found: dict[Hashable, list[Track]] = defaultdict(list)
    for track in tracks:
        found[key(track)].append(track)
    return [group for group in found.values() if len(group) > 1]


def _size(track: Track) -> Hashable:
    """Bytes of a file; the path of one that has disappeared."""
    try:
        return track[2].stat().st_size
    except OSError:
        return track[2]


def _sample(track: Track) -> Hashable:
    """Hash of bytes from the middle of a file; the path of an unreadable file."""
    try:
        with open(track[2], "rb") as file:
            file.seek(max(0, (os.fstat(file.fileno()).st_size - SAMPLE_BYTES) // 2))
            return hashlib.sha256(file.read(SAMPLE_BYTES)).digest()
    except OSError:
        return track[2]


def _hash(track: Track) -> Hashable:
    return file_sha256(track[2])


def _some(examples: Sequence[str]) -> str:
    return ", ".join(examples[:SHOWN]) + (", ..." if len(examples) > SHOWN else "")
