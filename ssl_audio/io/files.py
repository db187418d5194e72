"""Names and contents of files."""

from __future__ import annotations

import hashlib
from os import PathLike

AnyPath = str | PathLike[str]


def printable(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 are written as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def file_sha256(path: AnyPath) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
