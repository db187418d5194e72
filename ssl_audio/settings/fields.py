"""How a setting is declared: a typed dataclass field with a default, a range and a line of help.

    class TrainerSettings(Group):
        max_steps: int = setting(help="optimiser steps of the whole run", min=1)

Every subclass of `Group` is a frozen dataclass, without a decorator. It converts and checks its
values when it is made, so that no wrong value exists: from YAML, from the command line and from
Python alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, Literal, dataclass_transform, get_type_hints

from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.types import convert, describe


class SettingError(SslAudioError):
    """A setting with a wrong value; `key` is its full name, such as `trainer.max_steps`."""

    def __init__(self, key: str, value: Any, expected: str) -> None:
        self.key, self.value, self.expected = key, value, expected
        super().__init__(f"{key}={shown(value)}: {expected}")

    def below(self, group: str) -> SettingError:
        """The same error, its key prefixed with the enclosing group."""
        return SettingError(f"{group}.{self.key}", self.value, self.expected)


def shown(value: Any) -> str:
    """A value as it is given on the command line."""
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Range:
    """Limits of a number, or of each number of a list; None is no limit."""

    min: float | None = None
    max: float | None = None
    above: float | None = None
    below: float | None = None

    def holds(self, value: Any) -> bool:
        """True if `value` lies within the limits; values that are not numbers have none."""
        if isinstance(value, tuple):
            return all(map(self.holds, value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        return (
            math.isfinite(value)
            and (self.min is None or value >= self.min)
            and (self.max is None or value <= self.max)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        words = [(self.min, "{} or more"), (self.above, "above {}"), (self.max, "at most {}"),
                 (self.below, "below {}")]  # fmt: skip
        return ", ".join(text.format(limit) for limit, text in words if limit is not None)


def setting(
    default: Any = MISSING,
    *,
    help: str,
    min: float | None = None,
    max: float | None = None,
    above: float | None = None,
    below: float | None = None,
    internal: bool = False,
) -> Any:
    """Declare one setting.

    Args:
        default: its value where none is given; without it, the setting is required.
        help: one line for `--help`, in the field's own terms; units belong here.
        min, max, above, below: limits of a number, inclusive and exclusive.
        internal: recorded by the program; not to be set and not shown by `--help`.
    """
    details = {"help": help, "range": Range(min, max, above, below), "internal": internal}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=details)
    return field(default=default, metadata=details)


def group(kind: type[Group], help: str) -> Any:
    """Declare a group of settings with their own defaults."""
    return field(default_factory=kind, metadata={"help": help})


def variants(
    choices: Mapping[str, type[Group]], default: str | None, *, help: str, selector: str
) -> Any:
    """Declare a group that is one of several kinds, each with settings of its own.

    Args:
        choices: the kinds by name. In YAML, `name:` selects one.
        default: name of the default kind; None if one must be chosen.
        selector: the key that selects a kind on the command line, as in `data=folder`.
    """
    details = {"help": help, "choices": choices, "selector": selector}
    if default is None:
        return field(metadata=details)
    return field(default_factory=choices[default], metadata=details)


@dataclass_transform(kw_only_default=True, frozen_default=True)
@dataclass(frozen=True, kw_only=True)
class Group:
    """Base of all groups of settings: typed, checked, immutable."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)

    def __post_init__(self) -> None:
        for name, kind in settings_of(type(self)).items():
            hint, limits = kind.type, kind.metadata["range"]
            value = getattr(self, name)
            try:
                value = convert(hint, value)
            except ValueError:
                raise SettingError(name, value, expected_of(kind)) from None
            if not limits.holds(value):
                raise SettingError(name, value, expected_of(kind))
            object.__setattr__(self, name, value)
        self.check_alone(vars(self))
        self.check()

    @classmethod
    def check_alone(cls, values: Mapping[str, Any]) -> None:
        """Refuse values that are wrong whatever the others are; a group with such overrides this.

        It is also called with the values of the command line, before a recipe is composed.

        Args:
            values: of some of the settings, by name.

        Raises:
            SettingError: names the setting and what is expected of it.
        """

    def check(self) -> None:
        """Refuse combinations of values; a group with such rules overrides this.

        Raises:
            SettingError: names the setting and what is expected of it.
        """


class CommandSettings(Group):
    """Base of the settings of one command."""

    command: str = setting("", help="the command line of the run", internal=True)
    log: Literal["text", "json"] = setting(
        "text", help="standard error: text, or json, one object a line with time and event"
    )


def settings_of(kind: type[Group]) -> dict[str, Field[Any]]:
    """The plain settings of a group by name, with resolved types; nested groups are left out."""
    return {name: f for name, f in all_fields(kind).items() if "range" in f.metadata}


_FIELDS: dict[type[Group], dict[str, Field[Any]]] = {}


def all_fields(kind: type[Group]) -> dict[str, Field[Any]]:
    """The fields of a group by name, with resolved types."""
    if kind in _FIELDS:
        return _FIELDS[kind]
    hints = get_type_hints(kind)
    for one in fields(kind):
        one.type = hints[one.name]
    # what all commands have comes last
    common = {one.name for one in fields(CommandSettings)} if kind is not CommandSettings else set()
    ordered = sorted(fields(kind), key=lambda one: one.name in common)
    _FIELDS[kind] = {one.name: one for one in ordered}
    return _FIELDS[kind]


def expected_of(kind: Field[Any]) -> str:
    """What a setting takes, as said in help and in errors: "a whole number, 1 or more"."""
    limits = str(kind.metadata["range"])
    return describe(kind.type) + (f", {limits}" if limits else "")
