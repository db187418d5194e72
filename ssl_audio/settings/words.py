"""The grammar of a command line: `KEY=VALUE` words, checked against a command's settings.

Everything after the first `=` is the value. A value of a path or a text is literal; a list's key
may be repeated, or be given `[a,b]`; an argument of a component (`objective.temperature=0.2`) is
YAML.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings import tree
from ssl_audio.settings.fields import Group, SettingError, expected_of
from ssl_audio.settings.types import Component, choices_of, is_list, parse

_KEY = re.compile(r"[+~]*[A-Za-z_][\w.]*")


@dataclass
class Words:
    """A parsed command line.

    Attributes:
        values: nested, as in a YAML file.
        components: full keys of components' arguments that were given.
    """

    values: dict[str, Any] = field(default_factory=dict)
    components: list[str] = field(default_factory=list)

    def put(self, key: str, value: Any) -> None:
        """Set a nested value by its full key."""
        *groups, last = key.split(".")
        node = self.values
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value

    def get(self, key: str) -> Any:
        return value_at(self.values, key)


def value_at(values: Mapping[str, Any], key: str) -> Any:
    """A nested value by its full key; None where there is none."""
    node: Any = values
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def read_words(kind: type[Group], words: Sequence[str], positional: Sequence[str] = ()) -> Words:
    """Parse the words of a command line.

    Args:
        words: without options such as `--config`.
        positional: keys of the values among the words, in order; a list takes all the rest. A value
            that looks like KEY=VALUE is given as a path: ./KEY=VALUE.

    Raises:
        SslAudioError: a word that is no `KEY=VALUE`, an unknown key or choice, a wrong value.
    """
    grammar = _Grammar(kind)
    found = Words()
    waiting = list(positional)
    for word in words:
        key, sign, text = word.partition("=")
        is_setting = bool(sign) and (grammar.knows(key) or _KEY.fullmatch(key) is not None)
        if not is_setting and waiting and not word.startswith("-"):
            grammar.read(found, waiting[0], word)
            if not is_list(grammar.keys[waiting[0]][0].field.type):
                waiting.pop(0)
        elif not sign or word.startswith("-"):
            hint = tree.suggestion(key, grammar.names)
            raise SslAudioError(f"{word!r} is not KEY=VALUE.{hint} See --help")
        else:
            grammar.read(found, key, text)
    return found


class _Grammar:
    """The keys of a command, by name."""

    def __init__(self, kind: type[Group]) -> None:
        self.keys: dict[str, list[tree.Key]] = {}
        for key in tree.keys_of(kind):
            self.keys.setdefault(key.name, []).append(key)
        self.selectors: dict[str, tree.Selector] = {s.name: s for s in tree.selectors_of(kind)}
        self.groups = tree.groups_of(kind)
        self.repeated: set[str] = set()

    @property
    def names(self) -> list[str]:
        return [*self.keys, *self.selectors]

    def knows(self, key: str) -> bool:
        return key in self.keys or key in self.selectors or key in self.groups

    def read(self, found: Words, key: str, text: str) -> None:
        """Add one `key=text` to what was found."""
        if key in self.selectors:
            self._select(found, self.selectors[key], text)
        elif key in self.keys:
            self._set(found, key, text)
        elif (component := self._component(key)) is not None:
            found.components.append(key)
            _put_argument(found, component, key, text)
        else:
            raise SslAudioError(self._refusal(key, text))

    def _select(self, found: Words, selector: tree.Selector, text: str) -> None:
        if text not in selector.choices:
            raise SslAudioError(tree.unknown_choice(selector.name, text, selector.choices))
        found.put(f"{selector.path}.{tree.NAME}", text)

    def _set(self, found: Words, key: str, text: str) -> None:
        errors: list[SettingError] = []
        for one in self.keys[key]:  # several where kinds of a group share a name
            try:
                value = _parsed(one, text)
            except SettingError as error:
                errors.append(error)
                continue
            if key in self.repeated and isinstance(value, tuple):
                value = (*found.get(key), *value)
            self.repeated.add(key)
            found.put(key, list(value) if isinstance(value, tuple) else value)
            return
        raise errors[0]

    def _component(self, key: str) -> str | None:
        """The component that a key such as `objective.temperature` is an argument of."""
        for name, kinds in self.keys.items():
            if key.startswith(f"{name}.") and kinds[0].field.type == Component:
                return name
        return None

    def _refusal(self, key: str, text: str) -> str:
        bare = key.lstrip("+~")
        if bare != key and self.knows(bare):
            return f"{key}={text}: write {bare}={text}"
        if key in self.groups:
            inside = [name for name in self.keys if name.startswith(f"{key}.")]
            return f"{key}={text}: {key} is a group of settings: {', '.join(inside)}"
        return tree.unknown_key(bare, self.names)


def _parsed(key: tree.Key, text: str) -> Any:
    try:
        value = parse(key.field.type, text)
    except ValueError:
        hint = tree.suggestion(text, choices_of(key.field.type))
        raise SettingError(key.name, text, f"{expected_of(key.field)}.{hint}".rstrip(".")) from None
    if not key.field.metadata["range"].holds(value):
        raise SettingError(key.name, value, expected_of(key.field))
    return value


def _put_argument(found: Words, component: str, key: str, text: str) -> None:
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SslAudioError(f"{key}={text}: not a YAML value") from error
    if isinstance(value, str):
        try:
            value = float(text)  # YAML takes 1e-3 for text
        except ValueError:
            pass
    found.put(key, value)


def merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Nested values, those of `second` over those of `first`.

    Another class of a component starts from that class's own defaults.
    """
    made = dict(first)
    for key, value in second.items():
        old = made.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            same_class = value.get("_target_", old.get("_target_")) == old.get("_target_")
            value = merged(old, value) if same_class else value
        made[key] = value
    return made


def option_words(words: Iterable[str]) -> tuple[set[str], list[str]]:
    """Split options, such as `--config`, from the other words."""
    options = {"-h", "--help", "--config", "--version"}
    listed = list(words)
    return options & set(listed), [word for word in listed if word not in options]
