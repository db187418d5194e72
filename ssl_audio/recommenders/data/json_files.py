"""JSON files from others: read whole, and their values checked."""

import gzip
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ssl_audio.io.errors import SslAudioError


def load_json(path: Path) -> Any:
    """The content of a JSON file in UTF-8, plain or compressed (.gz).

    Raises:
        SslAudioError: unreadable or broken: names the line and column where it breaks.
    """
    try:
        content = gzip.open(path).read() if path.suffix.lower() == ".gz" else path.read_bytes()
        return json.loads(content.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise SslAudioError(f"{path}, {where}: broken JSON ({error.msg})") from error
    except RecursionError as error:
        raise SslAudioError(f"{path}: JSON that is nested too deeply") from error
    except (OSError, EOFError, ValueError) as error:
        raise SslAudioError(f"cannot read {path}: {error}") from error


@contextmanager
def located(where: str | Callable[[], str]) -> Iterator[None]:
    """Name the place of a value that has another form than expected.

    Args:
        where: the place, or what gives it if there is an error.

    Raises:
        SslAudioError: a `KeyError`, `IndexError`, `TypeError` or `ValueError` within the block.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError) as error:
        wrong = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)
        place = where if isinstance(where, str) else where()
        raise SslAudioError(f"{place}: {wrong}") from error


def text(value: object, name: str) -> str:
    """Text of a JSON value: of a number its digits, "" of null and NaN.

    Lone surrogates, which JSON can hold and UTF-8 cannot, become "?".

    Raises:
        ValueError: true, false, a list or an object.
    """
    if isinstance(value, str) and value.isascii():  # nearly always
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{name} is {type(value).__name__}, text or a number is expected")
    return str(value).encode("utf-8", "replace").decode("utf-8")


def identifier(value: object, name: str) -> str:
    """Text of a JSON value that names something.

    Raises:
        ValueError: none, or what `text` refuses.
    """
    found = text(value, name)
    if not found:
        raise ValueError(f"no {name}")
    return found


def number(value: object, name: str) -> float:
    """A finite number, also written as text.

    Raises:
        ValueError: no finite number.
    """
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            if math.isfinite(found := float(value)):
                return found
        except (ValueError, OverflowError):
            pass
    raise ValueError(f"{name} is not a number")


def items(value: object, name: str) -> list[Any]:
    """A JSON list.

    Raises:
        ValueError: anything else.
    """
    if not isinstance(value, list):
        raise ValueError(f"{name} is {type(value).__name__}, a list is expected")
    return value
