"""Dataclasses as plain JSON values, and back with every type checked."""

import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union

import numpy as np

Made = TypeVar("Made")


def to_plain(value: Any) -> Any:
    """Dataclasses, tuples, mappings, paths and numpy values as JSON values; NaN becomes None."""
    if is_dataclass(value):
        return {one.name: to_plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return to_plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def from_plain(kind: type[Made], value: Any) -> Made:
    """The reverse of `to_plain`.

    Args:
        kind: a dataclass whose fields are dataclasses, tuples, dictionaries, optional or plain
            values.
        value: what `to_plain` returned for it.

    Raises:
        ValueError: a missing or unknown field or a value of another type, named by its path.
    """
    return typing.cast(Made, _read(kind, value, ""))


def _read(hint: Any, value: Any, path: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if is_dataclass(hint):
        return _read_dataclass(hint, value, path)
    if origin in (Union, types.UnionType):
        inner = next(one for one in arguments if one is not type(None))
        return None if value is None else _read(inner, value, path)
    if origin is tuple and isinstance(value, list):
        return tuple(_read(arguments[0], one, f"{path}[{k}]") for k, one in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {key: _read(arguments[1], one, _below(path, key)) for key, one in value.items()}
    return _read_scalar(hint, value, path)


def _read_dataclass(hint: Any, value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{path or 'the top level'} is not an object")
    declared = {one.name: one for one in fields(hint)}
    for name in value.keys() - declared.keys():
        raise ValueError(f"unknown field {_below(path, name)}")
    for name, one in declared.items():
        required = one.default is MISSING and one.default_factory is MISSING
        if required and name not in value:
            raise ValueError(f"{_below(path, name)} is missing")
    hints = typing.get_type_hints(hint)
    return hint(**{k: _read(hints[k], one, _below(path, k)) for k, one in value.items()})


def _read_scalar(hint: Any, value: Any, path: str) -> Any:
    if hint is Any:
        return value
    if hint is float and value is None:
        return math.nan
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise ValueError(f"{path} is {value!r:.40}")
    return value


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
