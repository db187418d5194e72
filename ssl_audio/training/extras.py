"""The loggers of a run, and the callbacks that the settings name beside the built-in ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lightning import Callback
from lightning.pytorch.loggers import Logger

from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.loggers import LOGGERS, logger_arguments
from ssl_audio.settings.components import TARGET, component_of, instantiate
from ssl_audio.settings.pretrain import PretrainSettings
from ssl_audio.settings.tree import NAME

T = TypeVar("T")


@dataclass(frozen=True)
class Extras:
    """Loggers and further callbacks of a run."""

    loggers: list[Logger] = field(default_factory=list)
    callbacks: list[Callback] = field(default_factory=list)


def build_extras(settings: PretrainSettings, folder: Path) -> Extras:
    """Make the loggers and callbacks of the settings; the logs of named ones are in the folder.

    Raises:
        SslAudioError: a class that cannot be imported, refuses its arguments or is of another kind.
    """
    extras = Extras()
    for place, one in enumerate(settings.loggers):
        named = one.get(NAME)
        given = {} if named is None else logger_arguments(named, folder)
        component = given | component_of(one, LOGGERS)
        extras.loggers.append(_component(component, f"logger[{place}]", Logger))  # type: ignore[type-abstract]
    for place, one in enumerate(settings.callbacks):
        extras.callbacks.append(_component(one, f"callbacks[{place}]", Callback))
    return extras


def _component(component: Mapping[str, Any], key: str, kind: type[T]) -> T:
    made = instantiate(component, key)
    if not isinstance(made, kind):
        name = f"{kind.__module__}.{kind.__qualname__}"
        raise SslAudioError(f"{key}._target_={component[TARGET]} is not a {name}")
    return made
