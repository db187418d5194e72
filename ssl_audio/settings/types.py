"""The types of settings: what each accepts from Python or YAML, and from text on a command line.

Text for a path or a string is literal: no character of it has a meaning. A list is `[a,b]`, with
double quotes around an element that has a comma.
"""

import csv
import math
import re
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, Union

from ssl_audio.io.remote import Url, is_url, location

Component = dict[str, Any]
"""An object: its class by `_target_`, and the arguments of that class."""

_WHOLE = re.compile(r"[+-]?\d+")


def convert(hint: Any, value: Any) -> Any:
    """A value of YAML or Python as the type of a setting.

    Raises:
        ValueError: it is of another type.
    """
    return _first(_convert_one, members(hint), value)


def parse(hint: Any, text: str) -> Any:
    """A word of the command line as the type of a setting.

    Raises:
        ValueError: it is not of this type.
    """
    return _first(_parse_one, sorted(members(hint), key=_order), text)


def _first(read: Callable[[Any, Any], Any], hints: Iterable[Any], value: Any) -> Any:
    for hint in hints:
        try:
            return read(hint, value)
        except ValueError:
            continue
    raise ValueError


def members(hint: Any) -> tuple[Any, ...]:
    """The members of a union; a plain type is its own only member."""
    is_union = typing.get_origin(hint) in (Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def choices_of(hint: Any) -> tuple[str, ...]:
    """The words that a setting accepts, of all its `Literal` types."""
    literals = [m for m in members(hint) if typing.get_origin(m) is Literal]
    return tuple(str(word) for m in literals for word in typing.get_args(m))


def is_list(hint: Any) -> bool:
    """True for settings that take several values."""
    return any(typing.get_origin(m) is tuple for m in members(hint))


def describe(hint: Any) -> str:
    """A type in words."""
    words = [_describe_one(m) for m in members(hint) if m is not type(None)]
    return " or ".join(words) + (" or null" if type(None) in members(hint) else "")


def _describe_one(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " | ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        element = typing.get_args(hint)[0]
        kinds = [_PLURALS.get(kind) or describe(kind) for kind in members(element)]
        return f"a list of {' or '.join(kinds)}"
    return _NAMES.get(hint, "a component (_target_ and its arguments)")


_NAMES: dict[Any, str] = {
    int: "a whole number", float: "a number", bool: "true or false", str: "text",
    Path: "a local path", Url: "a URL",
}  # fmt: skip
_PLURALS: dict[Any, str] = {
    int: "whole numbers", float: "numbers", str: "names", Path: "local paths", Url: "URLs",
    Component: "components (name or _target_, and arguments)",
}  # fmt: skip


def _convert_one(hint: Any, value: Any) -> Any:
    if typing.get_origin(hint) is Literal:
        return _choice(hint, value)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError
        return tuple(convert(typing.get_args(hint)[0], one) for one in value)
    return _scalar(hint, value)


def _choice(hint: Any, value: Any) -> Any:
    for word in typing.get_args(hint):
        if type(word) is type(value) and word == value:
            return value
    raise ValueError


def _scalar(hint: Any, value: Any) -> Any:
    if hint is type(None) and value is None:
        return None
    if hint is bool and isinstance(value, bool):
        return value
    if hint in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        return _number(hint, value)
    if hint is str and isinstance(value, str):
        return value
    if hint is Path and isinstance(value, str | Path):
        return _path(str(value))
    if hint is Url and isinstance(value, str):
        return location(value)
    if typing.get_origin(hint) is dict and isinstance(value, dict):
        return dict(value)
    raise ValueError


def _number(hint: type[int] | type[float], value: int | float) -> int | float:
    if not math.isfinite(value) or (hint is int and value != int(value)):
        raise ValueError
    return hint(value)


def _path(text: str) -> Path:
    if not text or "\0" in text or is_url(text):
        raise ValueError
    return Path(text)


def _order(hint: Any) -> int:
    """Literals and null are tried first, free text last."""
    if typing.get_origin(hint) is Literal or hint is type(None):
        return 0
    return 2 if hint in (str, Path, Url) else 1


def _parse_one(hint: Any, text: str) -> Any:
    if typing.get_origin(hint) is Literal:
        return _choice(hint, text)
    if typing.get_origin(hint) is tuple:
        element = typing.get_args(hint)[0]
        is_component = Component in members(element)
        return _components(element, text) if is_component else _list(element, text)
    if hint is type(None) and text == "null":
        return None
    if hint is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if hint is int and _WHOLE.fullmatch(text):
        return int(text)
    if hint in (int, float):
        return _number(hint, float(text))
    if hint in (str, Path, Url):
        return _scalar(hint, text)
    raise ValueError


def _components(element: Any, text: str) -> tuple[Any, ...]:
    """Components in YAML's inline form, such as `[{name: gain, db: 6}]`; also names, or one."""
    import yaml

    try:
        found = yaml.safe_load(text)
        found = [found] if isinstance(found, str) else found
        return convert(tuple[element, ...], found)
    except yaml.YAMLError:
        raise ValueError from None


def _list(element: Any, text: str) -> tuple[Any, ...]:
    if not (text.startswith("[") and text.endswith("]")):
        return (parse(element, text),)
    inner = text[1:-1].strip()
    if not inner:
        return ()
    rows = list(csv.reader([inner], skipinitialspace=True))
    return tuple(parse(element, word.strip().strip("'")) for word in rows[0])
