"""Names and contents of files."""

import hashlib
import os
import re
import stat
from os import PathLike

from ssl_audio.io.errors import AudioError

AnyPath = str | PathLike[str]
_BYTE = re.compile(rb"\\x([0-9a-f]{2})")
_LIKE_A_BYTE = re.compile(r"\\(?=x[0-9a-f]{2})")


def printable(name: str) -> str:
    """A file name as text: bytes that are not UTF-8 are written as \\xNN.

    Different names give different texts: in a name with such characters of its own, the backslash
    becomes \\x5c.
    """
    if name.isascii() and "\\" not in name:  # nearly all
        return name
    plain = _LIKE_A_BYTE.sub(r"\\x5c", name)
    return plain.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def unprintable(text: str) -> str:
    """The file name that `printable` has written as text."""
    name = _BYTE.sub(lambda found: bytes([int(found[1], 16)]), text.encode())
    return name.decode("utf-8", "surrogateescape")


def regular_size(path: AnyPath) -> int:
    """Bytes of a regular file. Others must not be opened: a named pipe would block for ever.

    Raises:
        AudioError: missing, or no regular file.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AudioError(path, "missing", "no such file") from error
    except OSError as error:
        raise AudioError(path, "unreadable", error.strerror or str(error)) from error
    except ValueError as error:  # a name with a zero byte, or one that cannot be encoded
        raise AudioError(path, "unreadable", str(error)) from error
    if not stat.S_ISREG(status.st_mode):
        kinds = {"a named pipe": stat.S_ISFIFO, "a socket": stat.S_ISSOCK, "a folder": stat.S_ISDIR}
        what = next((kind for kind, test in kinds.items() if test(status.st_mode)), "a device")
        raise AudioError(path, "unreadable", f"it is {what}, not a file")
    return status.st_size


def file_sha256(path: AnyPath) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
