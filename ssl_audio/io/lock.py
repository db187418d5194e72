"""Files that one process at a time holds."""

from pathlib import Path
from typing import IO

from ssl_audio.io.errors import SslAudioError


class Busy(SslAudioError):
    """Another process is writing the same."""


def only_writer(folder: Path, name: str = ".lock", written: object = None) -> IO[str]:
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
    return file
