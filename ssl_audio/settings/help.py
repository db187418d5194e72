"""The text of `--help` and `--help KEY`."""

import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING
from typing import Any

from ssl_audio.io.console import EXIT_STATUSES
from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.declaration import Declaration
from ssl_audio.settings.fields import Group, expected_of, shown
from ssl_audio.settings.recipes import preset_names, recipe_names, view_sets
from ssl_audio.settings.tree import Key, groups_of, keys_of, selectors_of, unknown_key

_INDENT = 30


def help_text(command: Declaration[Any]) -> str:
    """Every setting of a command with type, default and meaning, by groups."""
    lines = [
        command.summary,
        "",
        f"usage: {command.program} {command.usage}",
        "example:",
        *(f"  {command.program} {example}" for example in command.examples),
        *_selections(command),
        *_settings(command.settings),
        "",
        "--help KEY explains one setting. --config prints all values as YAML. --version.",
        "A path or a text is taken literally: no character of it has a meaning.",
        "",
        "exit status: " + "; ".join(f"{code} {text}" for code, text in EXIT_STATUSES.items()),
    ]
    return "\n".join(lines)


def help_for(command: Declaration[Any], key: str) -> str:
    """One setting, one group of settings, or one selector.

    Raises:
        SslAudioError: there is no such setting.
    """
    keys = list(keys_of(command.settings))
    found = [k for k in keys if k.name == key] or [k for k in keys if k.name.startswith(f"{key}.")]
    chosen = [line for line in _selections(command) if line.split()[:1] == [f"{key}="]]
    if not found and not chosen:
        names = [*(k.name for k in keys), *(s.name for s in selectors_of(command.settings))]
        raise SslAudioError(unknown_key(key, names))
    return "\n".join([*chosen, *(line for k in _unique(found) for line in _entry(k, k.only))])


def _selections(command: Declaration[Any]) -> list[str]:
    """Keys with a choice of kinds: recipes, schedules, and groups of several kinds."""
    rows: list[tuple[str, str, str]] = []
    if command.named_recipes:
        rows.append(("recipe", " | ".join([*recipe_names(), "FILE.yaml"]), "what to train"))
        rows.append(("schedule", " | ".join(preset_names()), "length of training and batch size"))
        rows.append(("views", " | ".join([*view_sets(), "[...]"]), "transforms of the views"))
    else:
        rows.append(("recipe", "FILE.yaml", "settings from a file, as --config prints them"))
    for one in selectors_of(command.settings):
        default = f" (default {one.default})" if one.default else " (required)"
        rows.append((one.name, " | ".join(one.choices), one.field.metadata["help"] + default))
    lines = ["", "choices:"]
    for name, choices, meaning in rows:
        lines += _paragraph(f"  {name}=", f"{choices}. {meaning}")
    return lines


def _settings(kind: type[Group]) -> Iterator[str]:
    groups, previous = groups_of(kind), None
    for key in _unique(list(keys_of(kind))):
        group = _group(key)
        heading = (group, key.only)
        if heading != previous:
            previous = heading
            only = f" ({key.only})" if key.only else ""
            yield ""
            yield f"{groups[group]}{only}:" if group else "settings:"
        yield from _entry(key)


def _unique(keys: list[Key]) -> list[Key]:
    """List a setting that several kinds of a group share once; those of all kinds come first."""
    groups: dict[str, set[str]] = {}
    same: dict[tuple[str, str], list[Key]] = {}
    for key in keys:
        groups.setdefault(_group(key), set()).add(key.only)
        same.setdefault((key.name, key.help), []).append(key)
    unique = []
    for first, *others in same.values():
        only = {key.only for key in (first, *others)}
        common = bool(others) and only == groups[_group(first)]
        names = [first.only, *(key.only.partition("=")[2] for key in others)]
        unique.append(Key(first.name, first.field, "" if common else " | ".join(names)))
    order = list(groups)
    return sorted(unique, key=lambda k: (order.index(_group(k)), bool(k.only)))


def _group(key: Key) -> str:
    return key.name.rpartition(".")[0]


def _entry(key: Key, only: str = "") -> Iterator[str]:
    value = key.default.get("_target_", "none") if isinstance(key.default, dict) else key.default
    default = "required" if value is MISSING else f"default {shown(value)}"
    text = f"{key.help} ({expected_of(key.field)}; {default})"
    yield from _paragraph(f"  {key.name}", f"{only}: {text}" if only else text)


def _paragraph(name: str, text: str) -> list[str]:
    width = max(60, min(110, shutil.get_terminal_size((100, 24)).columns)) - _INDENT
    first, *rest = textwrap.wrap(text, width, break_on_hyphens=False)
    gap = " " * _INDENT
    head = f"{name:<{_INDENT}}{first}" if len(name) < _INDENT - 1 else f"{name}\n{gap}{first}"
    return [head, *(gap + line for line in rest)]
