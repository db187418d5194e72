"""Registries: classes by name, imported when they are first used."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from ssl_audio.io.errors import SslAudioError, first_line


class Registry(Mapping[str, Any]):
    """Classes by name; one more is one more line.

    A name that is not registered may be the path of a class, `MODULE.CLASS`.

    Args:
        paths: name to `MODULE.CLASS`; entries may be added later.
    """

    def __init__(self, paths: dict[str, str]) -> None:
        self.paths = paths

    def __getitem__(self, name: str) -> Any:
        path = self.paths.get(name, name)
        module, _, attribute = path.rpartition(".")
        if not module:
            raise KeyError(name)
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise SslAudioError(f"{name}: cannot import {path}: {first_line(error)}") from error

    def __contains__(self, name: object) -> bool:
        return name in self.paths

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)
