"""Audio that is in two splits of a data set: the same file, or a copy of it."""

import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.identical_files import groups_by, identical_files

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
    shared = groups_by(tracks, lambda track: file_identity(track[2]))
    if shared:
        examples = [" = ".join(f"{track} ({split})" for split, track, _ in of) for of in shared]
        raise SslAudioError(
            f"{name}: {len(shared)} files are listed more than once: {some(examples, SHOWN)}"
        )


def identical_audio(tracks: Sequence[Track]) -> list[str]:
    """Notes on byte-identical files in two splits, one for each pair of splits.

    Of files that may be equal, only those in different splits are compared.
    """
    groups = identical_files(
        [path for _, _, path in tracks],
        relevant=lambda places: len({tracks[place][0] for place in places}) > 1,
    )
    copies: dict[tuple[str, str], list[str]] = defaultdict(list)
    for first, *others in groups:
        original_split, original, _ = tracks[first]
        for split, track, _ in (tracks[place] for place in others):
            if split != original_split:
                copies[split, original_split].append(f"{track} = {original}")
    sizes = Counter(split for split, _, _ in tracks)
    return [
        f"{len(found)} of {sizes[split]} {split} tracks are byte-identical to {other} tracks: "
        f"{some(found, SHOWN)}"
        for (split, other), found in copies.items()
    ]


def some(examples: Sequence[str], shown: int = 5) -> str:
    """The first of several texts, and dots where there are more."""
    return ", ".join(examples[:shown]) + (", ..." if len(examples) > shown else "")
