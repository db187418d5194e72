"""Files that one process at a time holds."""

import os
from pathlib import Path
from typing import IO
from weakref import WeakSet

from ssl_audio.io.errors import SslAudioError

LOCK = ".lock"
_held: WeakSet[IO[str]] = WeakSet()


class Busy(SslAudioError):
    """Another process is writing the same."""


def only_writer(folder: Path, name: str = LOCK, written: object = None) -> IO[str]:
    """A file, opened under an exclusive lock that ends when it is closed or with the process.

    On Windows, which has no `flock`, every process gets it.

    Args:
        folder: of the file; it is made if absent.
        name: of the file.
        written: what its holder alone may write, for the error; None: the folder.

    Raises:
        Busy: another process holds the lock.
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / name).open("a")  # which does not touch a file that is there
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except BlockingIOError as error:
        file.close()
        raise Busy(f"another process is writing {written or folder}: wait for it") from error
    _held.add(file)
    return file


def _let_go() -> None:
    for file in list(_held):
        file.close()


# A forked child has the file as well, and would hold the lock after its parent is killed.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
