"""Registries: classes by name, imported when they are first used."""

from collections import UserDict
from importlib import import_module
from typing import Any

from ssl_audio.io.errors import SslAudioError, first_line


class Registry(UserDict[str, Any]):
    """Classes by name, made of name to `MODULE.CLASS`; one more is one more line.

    A name that is not registered may be the path of a class, `MODULE.CLASS`.
    """

    @property
    def paths(self) -> dict[str, str]:
        """The paths of the classes; entries may be added."""
        return self.data

    def __getitem__(self, name: str) -> Any:
        path = self.paths.get(name, name)
        module, _, attribute = path.rpartition(".")
        if not module:
            raise KeyError(name)
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise SslAudioError(f"{name}: cannot import {path}: {first_line(error)}") from error
