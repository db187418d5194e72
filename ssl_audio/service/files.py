"""Files that requests may read: the tracks' own, and those below the allowed folders."""

import os
from collections.abc import Sequence
from pathlib import Path

from ssl_audio.io.errors import AudioError
from ssl_audio.io.files import regular_size, unprintable
from ssl_audio.service.problems import Problem

MEDIA_TYPES = {
    ".mp3": "audio/mpeg", ".flac": "audio/flac", ".ogg": "audio/ogg", ".oga": "audio/ogg",
    ".opus": "audio/ogg", ".wav": "audio/wav", ".m4a": "audio/mp4", ".mp4": "audio/mp4",
    ".aac": "audio/aac", ".webm": "audio/webm", ".aif": "audio/aiff", ".aiff": "audio/aiff",
    ".wma": "audio/x-ms-wma",
}  # fmt: skip


class Roots:
    """The folders below which requests may name files.

    Symbolic links are followed first: a link inside that leads outside is outside.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [Path(os.path.realpath(folder)) for folder in folders]

    def named(self, text: str) -> Path:
        """The file that a request names, without symbolic links.

        Args:
            text: an absolute path, or one relative to one of the folders.

        Raises:
            Problem: it is outside of all folders, or there is no such file.
        """
        if not self._folders:
            raise Problem(403, "this service reads no files by name: start it with roots=[FOLDER]")
        found = [self._inside(folder / unprintable(text)) for folder in self._folders]
        allowed = [path for path in found if path is not None]
        if not allowed:
            raise Problem(403, "the path is outside of the folders of roots=")
        return next(filter(os.path.isfile, allowed), None) or _regular(allowed[0])

    def of_track(self, stored: str) -> Path:
        """The file of a track of the store.

        Raises:
            Problem: there is none, or it is outside of the folders, if there are any.
        """
        path = Path(unprintable(stored))
        if self._folders:
            inside = self._inside(path)
            if inside is None:
                raise Problem(403, "the file of this track is outside of the folders of roots=")
            path = inside
        return _regular(path)

    def _inside(self, path: Path) -> Path | None:
        """The path without symbolic links, if it is below one of the folders."""
        try:
            real = Path(os.path.realpath(path))
        except (OSError, ValueError):  # too long; a zero byte
            return None
        return real if any(real.is_relative_to(folder) for folder in self._folders) else None


def _regular(path: Path) -> Path:
    try:
        regular_size(path)
    except AudioError as error:
        raise Problem(404, f"no such file: {error.detail}") from error
    return path
