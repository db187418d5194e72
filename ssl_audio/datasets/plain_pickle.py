"""Pickles of lists, dictionaries, text and numbers, read without running code."""

import pickle
from pathlib import Path
from typing import Any, NoReturn

from ssl_audio.io.errors import SslAudioError


class _PlainUnpickler(pickle.Unpickler):
    """Refuses everything that names a class or a function, so that no code can run."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}, which may run code")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("it refers to data outside the file")


def load_plain_pickle(path: Path) -> Any:
    """Read a pickle of plain values.

    Raises:
        SslAudioError: it cannot be read, is damaged, or holds other objects.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise SslAudioError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # a damaged pickle raises errors of many types
        raise SslAudioError(f"{path} is refused or damaged: {error}") from error
