"""A folder for the machine code of librosa's functions, which numba must be able to keep."""

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ssl_audio.io.errors import SslAudioError

_VARIABLE = "NUMBA_CACHE_DIR"
# of Linux, also in a container whose file systems are read-only
_IN_MEMORY = "/dev/shm"  # noqa: S108 - only the parent of a folder that mkdtemp makes


def allow_librosa() -> None:
    """Make `import librosa` work in a read-only container without a home folder.

    Its functions are compiled with a cache on disk, which numba refuses where it can write neither
    beside them nor in the user's cache folder. They then get a temporary folder of this process.

    Raises:
        SslAudioError: no folder at all can be written.
    """
    if os.environ.get(_VARIABLE):
        return
    found = importlib.util.find_spec("librosa")
    package = Path(found.origin).parent if found and found.origin else Path()
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "numba")
    if _can_be_written(package / "core" / "__pycache__") or _can_be_written(home):
        return
    # not a folder of a known name: others could put code there
    folder = _temporary_folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[_VARIABLE] = folder
    if numba := sys.modules.get("numba"):
        numba.config.CACHE_DIR = folder


def _can_be_written(folder: Path) -> bool:
    """True if a file can be made in a folder, which is made; numba tries the same."""
    if not folder.is_absolute():  # "~" without a home folder
        return False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _temporary_folder() -> str:
    for parent in (None, _IN_MEMORY):
        try:
            return tempfile.mkdtemp(prefix="ssl_audio-", dir=parent)
        except OSError:
            continue
    raise SslAudioError(
        f"no folder can be written, and librosa needs one for the code that it compiles: set "
        f"{_VARIABLE} to one"
    )
