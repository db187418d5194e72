"""Settings as a tree of dataclasses: built from plain values, listed by key, written as YAML."""

import difflib
import json
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass
from pathlib import Path
from typing import Any, TypeVar

from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.remote import Url
from ssl_audio.settings.fields import Group, SettingError, all_fields, expected_of

Settings = TypeVar("Settings", bound=Group)
_WORD = re.compile(r"[A-Za-z_][\w./-]*")
_YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
NAME = "name"  # the key that selects one of several kinds of a group


@dataclass(frozen=True)
class Key:
    """One setting of a command."""

    name: str  # full name, such as `trainer.max_steps`
    field: Field[Any]  # its declaration
    only: str = ""  # the choice that has it, such as `data=folder`; empty: every choice

    @property
    def help(self) -> str:
        return str(self.field.metadata["help"])

    @property
    def default(self) -> Any:
        """The default; `MISSING` where the setting is required."""
        made = self.field.default_factory
        return made() if made is not MISSING else self.field.default


@dataclass(frozen=True)
class Selector:
    """A key such as `data`, whose value selects one kind of a group."""

    name: str
    path: str
    field: Field[Any]

    @property
    def choices(self) -> dict[str, type[Group]]:
        return dict(self.field.metadata["choices"])

    @property
    def default(self) -> str | None:
        """The name of the default kind; None where one must be chosen."""
        return _default_choice(self.field)


def name_of(field: Field[Any], value: Group) -> str:
    """The name of the kind that a group with several kinds has."""
    return next(n for n, kind in field.metadata["choices"].items() if kind is type(value))


def keys_of(kind: type[Group], prefix: str = "", only: str = "") -> Iterator[Key]:
    """Every setting of a command, in the order of declaration."""
    for name, field in all_fields(kind).items():
        full = f"{prefix}{name}"
        if "range" in field.metadata:
            if not field.metadata["internal"]:
                yield Key(full, field, only)
        elif "choices" in field.metadata:
            for choice, group in field.metadata["choices"].items():
                yield from keys_of(group, f"{full}.", f"{field.metadata['selector']}={choice}")
        else:
            yield from keys_of(group_type(field), f"{full}.", only)


def selectors_of(kind: type[Group], prefix: str = "") -> Iterator[Selector]:
    """Every key that selects one kind of a group."""
    for name, field in all_fields(kind).items():
        if "choices" in field.metadata:
            yield Selector(field.metadata["selector"], f"{prefix}{name}", field)
        elif "range" not in field.metadata:
            yield from selectors_of(group_type(field), f"{prefix}{name}.")


def groups_of(kind: type[Group], prefix: str = "") -> dict[str, str]:
    """Full names of all groups, and their lines of help."""
    found = {}
    for name, field in all_fields(kind).items():
        if "range" in field.metadata:
            continue
        found[f"{prefix}{name}"] = field.metadata["help"]
        if "choices" not in field.metadata:
            found |= groups_of(group_type(field), f"{prefix}{name}.")
    return found


def group_type(field: Field[Any]) -> type[Group]:
    """The type of a nested group; a group that may be None is given without it."""
    members = typing.get_args(field.type) or (field.type,)
    return next(m for m in members if isinstance(m, type) and issubclass(m, Group))


def build(kind: type[Settings], values: Mapping[str, Any], prefix: str = "") -> Settings:
    """Settings from plain nested values, as a YAML file has them.

    Raises:
        SslAudioError: an unknown key, a wrong value or a missing one, by its full name.
    """
    declared = all_fields(kind)
    unknown = [name for name in values if name not in declared]
    if unknown:
        names = [f"{prefix}{name}" for name in declared]
        raise SslAudioError(unknown_key(f"{prefix}{unknown[0]}", names))
    made = {name: _field_value(declared[name], prefix, v) for name, v in values.items()}
    _require(kind, declared, made, prefix)
    try:
        return kind(**made)
    except SettingError as error:
        raise error.below(prefix.rstrip(".")) if prefix else error from None


def check_alone(kind: type[Group], values: Mapping[str, Any]) -> None:
    """Refuse nested values that are wrong whatever the others are.

    Raises:
        SettingError: a wrong value, by its full name.
    """
    kind.check_alone(values)
    for name, field in all_fields(kind).items():
        nested = values.get(name)
        if isinstance(nested, Mapping) and not field.metadata.keys() & {"range", "choices"}:
            try:
                check_alone(group_type(field), nested)
            except SettingError as error:
                raise error.below(name) from None


def _field_value(field: Field[Any], prefix: str, value: Any) -> Any:
    if "range" in field.metadata:
        return value
    key = f"{prefix}{field.name}"
    if value is None and type(None) in typing.get_args(field.type):
        return None
    if not isinstance(value, Mapping):
        raise SslAudioError(f"{key}={value}: a group of settings, such as {key}.NAME=VALUE")
    if "choices" not in field.metadata:
        return build(group_type(field), value, f"{key}.")
    chosen, rest = _choice(field, key, value)
    return build(chosen, rest, f"{key}.")


def _choice(
    field: Field[Any], key: str, value: Mapping[str, Any]
) -> tuple[type[Group], dict[str, Any]]:
    """The kind of a group that `name` selects, and its values."""
    rest = dict(value)
    choices, selector = field.metadata["choices"], field.metadata["selector"]
    name = rest.pop(NAME, _default_choice(field))
    if name is None:
        raise SslAudioError(f"{selector}= is required: {' | '.join(choices)}")
    if name not in choices:
        raise SslAudioError(unknown_choice(selector, str(name), choices))
    for other in rest:
        having = [c for c, kind in choices.items() if other in all_fields(kind)]
        if having and name not in having:
            raise SslAudioError(
                f"{key}.{other} is a setting of {selector}={' | '.join(having)}, "
                f"not of {selector}={name}"
            )
    return choices[name], rest


def _default_choice(field: Field[Any]) -> str | None:
    made: Any = field.default_factory
    return name_of(field, made()) if made is not MISSING else None


def _require(
    kind: type[Group], declared: Mapping[str, Field[Any]], made: dict[str, Any], prefix: str
) -> None:
    """Refuse missing values; build groups that were not named, so that theirs are refused too."""
    for name, field in declared.items():
        if name in made or field.default is not MISSING:
            continue
        if "range" not in field.metadata:
            made[name] = _field_value(field, prefix, {})
        elif field.default_factory is MISSING:
            help = field.metadata["help"]
            raise SslAudioError(f"{prefix}{name}= is required: {expected_of(field)} ({help})")


def unknown_choice(key: str, given: str, choices: Iterable[str]) -> str:
    """The message for a choice that does not exist, with the nearest one that does."""
    known = list(choices)
    hint = suggestion(given, known)
    return f"{key}={given} does not exist.{hint} Choices: {', '.join(known)}"


def unknown_key(key: str, names: Iterable[str]) -> str:
    """The message for a key that does not exist, with the nearest one that does."""
    return f"{key}: no such setting.{suggestion(key, names)} --help lists all settings"


def suggestion(word: str, names: Iterable[str]) -> str:
    """ " Did you mean NAME?", or nothing where no name is near.

    Names are compared by their last part, so that a setting is found in another group too; of
    equally near ones, the one in the same group is taken.
    """
    group, _, last = word.rpartition(".")
    best, found = 0.6, ""
    for name in names:
        other, _, end = name.rpartition(".")
        near = difflib.SequenceMatcher(None, last, end).ratio() + 0.01 * (group == other)
        if near > best:
            best, found = near, name
    return f" Did you mean {found}?" if found else ""


def plain(settings: Group) -> dict[str, Any]:
    """Settings as plain nested values, from which `build` makes them again."""
    found: dict[str, Any] = {}
    for name, field in all_fields(type(settings)).items():
        value = getattr(settings, name)
        if isinstance(value, Group):
            kind = {NAME: name_of(field, value)} if "choices" in field.metadata else {}
            found[name] = {**kind, **plain(value)}
        elif not (field.metadata.get("internal") and not value):
            found[name] = _plain_value(value)
    return found


def _plain_value(value: Any) -> Any:
    if isinstance(value, Path | Url):
        return str(value)
    return [_plain_value(one) for one in value] if isinstance(value, tuple) else value


def to_yaml(settings: Group) -> str:
    """Settings as YAML, each with its line of help as a comment; a recipe that makes them again."""
    return "\n".join(_yaml_lines(settings, "")) + "\n"


def _yaml_lines(settings: Group, indent: str) -> Iterator[str]:
    for name, field in all_fields(type(settings)).items():
        value, help = getattr(settings, name), field.metadata["help"]
        if isinstance(value, Group):
            yield f"{indent}{name}:  # {help}"
            if "choices" in field.metadata:
                choices = " | ".join(field.metadata["choices"])
                yield f"{indent}  {NAME}: {name_of(field, value)}  # {choices}"
            yield from _yaml_lines(value, indent + "  ")
        elif value or not field.metadata["internal"]:
            yield from _setting_lines(name, _plain_value(value), help, indent)


def _setting_lines(name: str, value: Any, help: str, indent: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield f"{indent}{name}:  # {help}"
        yield from _component_lines(value, indent + "  ")
    else:
        yield f"{indent}{name}: {_inline(value)}  # {help}"


def _component_lines(component: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, value in component.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}:"
            yield from _component_lines(value, indent + "  ")
        else:
            yield f"{indent}{name}: {_inline(value)}"


def _inline(value: Any) -> str:
    """A value in one line of YAML; text that YAML could take for another type is quoted."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_inline(one)}' for key, one in value.items())}}}"
    if isinstance(value, str):
        plain_word = _WORD.fullmatch(value) and value.lower() not in _YAML_WORDS
        return value if plain_word else _quoted(value)
    if isinstance(value, float) and "e" in repr(value) and "." not in repr(value):
        return repr(value).replace("e", ".0e")  # YAML 1.1 takes 1e-05 for text
    return json.dumps(value)


def _quoted(text: str) -> str:
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in shown)
