"""Files that one process at a time holds."""

from pathlib import Path
from typing import IO


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
