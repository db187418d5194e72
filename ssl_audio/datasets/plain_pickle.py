"""Reading pickles that hold nothing but lists, dictionaries, text and numbers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NoReturn

from ssl_audio.io.errors import SslAudioError


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that can build no object: whatever names a class or a function is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}, which may run code")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("it refers to something outside itself")


def load_plain_pickle(path: Path) -> Any:
    """Read a pickle of plain values.

    Raises:
        SslAudioError: it cannot be read, is damaged, or holds anything else; nothing of it is run.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise SslAudioError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # damage shows as a dozen kinds
        raise SslAudioError(f"{path} is refused or damaged: {error}") from error
