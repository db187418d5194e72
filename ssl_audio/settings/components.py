"""Components: objects of a class that the user names by `_target_`, with its arguments.

An objective, an optimiser or a schedule is any class that can be imported. Its arguments are
checked against the signature of the class, without importing it where its source can be read.
"""

import ast
import importlib.util
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import MISSING
from importlib import import_module
from pathlib import Path
from typing import Any

from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.fields import Group, SettingError
from ssl_audio.settings.tree import NAME, keys_of, suggestion
from ssl_audio.settings.types import Component
from ssl_audio.settings.words import Words, value_at

TARGET, PARTIAL = "_target_", "_partial_"


def default_components(kind: type[Group]) -> dict[str, Any]:
    """The components that a command has without a recipe; single arguments of them can be given."""
    keys = [key for key in keys_of(kind) if key.field.type == Component]
    return {key.name: key.default for key in keys if key.default is not MISSING}


def check_components(recipe: Mapping[str, Any], given: Words) -> None:
    """Refuse arguments on the command line that the component's class does not have.

    Args:
        recipe: nested values of the recipe.
        given: the command line; arguments that the recipe has too are known to exist.

    Raises:
        SslAudioError: an unknown argument, with the nearest one that exists.
    """
    for key in given.components:
        group, _, name = key.rpartition(".")
        found = value_at(recipe, group)
        old = found if isinstance(found, Mapping) else {}
        target = (given.get(group) or {}).get(TARGET, old.get(TARGET))
        if name in (TARGET, PARTIAL) or (name in old and target == old.get(TARGET)):
            continue
        if target is None:
            advice = f"give {group}.{TARGET}=MODULE.CLASS"
            raise SslAudioError(f"{key}: {group} has no {TARGET}; {advice}")
        known = argument_names(str(target))
        if known is not None and name not in known:
            hint = suggestion(name, known)
            raise SslAudioError(
                f"{key}: {target} has no argument {name}.{hint} Arguments: {', '.join(known)}"
            )


def component_of(given: str | Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A component, its name replaced by the path of its class.

    Args:
        given: a name, or `name` or `_target_` with arguments.
        names: paths of classes by name.
    """
    arguments = {NAME: given} if isinstance(given, str) else dict(given)
    name = arguments.pop(NAME, None)
    return arguments if name is None else {TARGET: names[name], **arguments}


def check_named(
    key: str, listed: Sequence[str | Mapping[str, Any]], names: Mapping[str, str]
) -> None:
    """Refuse components of a list by an unknown name, and those that `check_listed` refuses.

    Args:
        listed: as `component_of` takes them.
        names: paths of classes by name.

    Raises:
        SettingError: names the component by its place.
    """
    for place, one in enumerate(listed):
        given = {NAME: one} if isinstance(one, str) else one
        name = given.get(NAME)
        if (name is None) == (TARGET not in given):
            expected = f"give {NAME}: or {TARGET}:, one of them"
            raise SettingError(f"{key}[{place}]", dict(given), expected)
        if name is not None and name not in names:
            expected = f"one of {', '.join(names)}.{suggestion(str(name), names)}"
            raise SettingError(f"{key}[{place}].{NAME}", name, expected.rstrip("."))
    check_listed(key, [component_of(one, names) for one in listed])


def check_listed(key: str, components: Sequence[Mapping[str, Any]]) -> None:
    """Refuse components of a list without a class, and arguments that their class does not have.

    Args:
        components: each with its `_target_`.

    Raises:
        SettingError: names the component by its place.
    """
    for place, component in enumerate(components):
        one, arguments = f"{key}[{place}]", dict(component)
        target = arguments.pop(TARGET, None)
        if not isinstance(target, str):
            raise SettingError(f"{one}.{TARGET}", target, "its class, such as MODULE.CLASS")
        known = argument_names(target) if arguments else None
        for argument, value in arguments.items():
            if known is not None and argument not in (*known, PARTIAL):
                expected = f"no such argument.{suggestion(argument, known)} Arguments: "
                raise SettingError(f"{one}.{argument}", value, expected + ", ".join(known))


def instantiate(component: Mapping[str, Any], key: str, **arguments: Any) -> Any:
    """Make a component's object, the components in its arguments first.

    Args:
        component: `_target_`, arguments, and `_partial_: true` for a function that makes it later.
        key: the setting's name, for errors.
        arguments: further arguments; the component's own take precedence.

    Raises:
        SslAudioError: the class cannot be imported or refuses its arguments.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    if TARGET not in component:
        raise SslAudioError(f"{key}.{TARGET}= is required: the class, such as MODULE.CLASS")
    try:
        return hydra_instantiate({**arguments, **component})
    except InstantiationException as error:
        if isinstance(error.__cause__, SslAudioError):
            raise error.__cause__ from error
        raise SslAudioError(f"{key}: {str(error).splitlines()[0]}") from error


def argument_names(target: str) -> list[str] | None:
    """The arguments that a class takes; None where it takes any, or cannot be found."""
    return _parsed_arguments(target) or _imported_arguments(target)


def _parsed_arguments(target: str) -> list[str] | None:
    """Parse the source of the class: importing an objective or an optimiser would import torch."""
    module, _, name = target.rpartition(".")
    source = _source_of(module)
    if source is None:
        return None
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            made = [f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
            if not made and not node.bases:  # a dataclass
                fields = [s.target for s in node.body if isinstance(s, ast.AnnAssign)]
                return [one.id for one in fields if isinstance(one, ast.Name)]
            if not made or made[0].args.kwarg:
                return None
            return [a.arg for a in (*made[0].args.args[1:], *made[0].args.kwonlyargs)]
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for one in node.names:
                if name == (one.asname or one.name):
                    return _parsed_arguments(f"{node.module}.{one.name}")
    return None


def _source_of(module: str) -> Path | None:
    top, *below = module.split(".")
    found = importlib.util.find_spec(top) if top else None
    if found is None or not found.origin:
        return None
    path = Path(found.origin)
    if not below:
        return path
    path = path.parent.joinpath(*below)
    files = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((file for file in files if file.is_file()), None)


def _imported_arguments(target: str) -> list[str] | None:
    module, _, name = target.rpartition(".")
    try:
        parameters = inspect.signature(getattr(import_module(module), name)).parameters
    except Exception:  # an import may fail with anything; `instantiate` reports it with its reason
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return list(parameters)
