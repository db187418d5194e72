"""Files that one process at a time holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ssl_audio.io.errors import SslAudioError


def exclusive_lock(path: Path) -> IO[str] | None:
    """The file, opened under an exclusive lock that ends when it is closed or with the process.

    On Windows, which has no `flock`, every process gets it.

    Returns:
        The open file; None if another process holds the lock.

    Raises:
        OSError: the file cannot be opened.
    """
    file = path.open("a")  # which does not touch a file that is there
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        pass
    except BlockingIOError:
        file.close()
        return None
    return file


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Write into a folder, which is made if absent, while no other process does.

    Raises:
        SslAudioError: another process writes into it by this function.
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = exclusive_lock(folder / ".lock")
    if lock is None:
        raise SslAudioError(f"another process is writing {folder}: wait for it")
    with lock:
        yield
