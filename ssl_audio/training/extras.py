"""The loggers and callbacks that the settings name, beside the built-in ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lightning import Callback
from lightning.pytorch.loggers import Logger

from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.components import instantiate
from ssl_audio.settings.pretrain import PretrainSettings

T = TypeVar("T")


@dataclass(frozen=True)
class Extras:
    """Further loggers and callbacks of a run."""

    loggers: list[Logger] = field(default_factory=list)
    callbacks: list[Callback] = field(default_factory=list)


def build_extras(settings: PretrainSettings) -> Extras:
    """Make the loggers and callbacks of the settings.

    Raises:
        SslAudioError: a class that cannot be imported, refuses its arguments or is of another kind.
    """
    extras = Extras()
    for place, one in enumerate(settings.logger):
        extras.loggers.append(_component(one, f"logger[{place}]", Logger))  # type: ignore[type-abstract]
    for place, one in enumerate(settings.callbacks):
        extras.callbacks.append(_component(one, f"callbacks[{place}]", Callback))
    return extras


def _component(component: Mapping[str, Any], key: str, kind: type[T]) -> T:
    made = instantiate(component, key)
    if not isinstance(made, kind):
        name = f"{kind.__module__}.{kind.__qualname__}"
        raise SslAudioError(f"{key}._target_={component['_target_']} is not a {name}")
    return made
