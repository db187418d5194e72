"""The form of a published data set of playlists."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ssl_audio.io.errors import SslAudioError
from ssl_audio.recommenders.data.records import Record

SESSION_GAP = 1800.0  # seconds without a play that end a listening session


@dataclass(frozen=True)
class Published:
    """A published data set.

    Attributes:
        citation, licence: of the data.
        read: maps its folder, as unpacked, to its records.
    """

    citation: str
    licence: str
    read: Callable[[Path], Iterator[Record]]


def existing(folder: Path, *names: str) -> Path:
    """The first of some files that the folder has.

    Raises:
        SslAudioError: none of them.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise SslAudioError(f"{folder}: no {' or '.join(names)} in it")
