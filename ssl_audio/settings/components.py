"""Components: objects of the user's choice, named by `_target_`, with arguments of their own.

An objective, an optimiser or a schedule is any class that can be imported. Its arguments are
checked against the signature of the class, without importing it where its source can be read.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Mapping
from typing import Any

from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.tree import suggestion
from ssl_audio.settings.words import Words

TARGET, PARTIAL = "_target_", "_partial_"


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
        old = _at(recipe, group)
        target = (given.get(group) or {}).get(TARGET, old.get(TARGET))
        if name in (TARGET, PARTIAL) or (name in old and target == old.get(TARGET)):
            continue
        if target is None:
            raise SslAudioError(
                f"{key}: {group} has no {TARGET}; give {group}.{TARGET}=MODULE.CLASS"
            )
        known = argument_names(str(target))
        if known is not None and name not in known:
            hint = suggestion(name, known)
            raise SslAudioError(
                f"{key}: {target} has no argument {name}.{hint} Arguments: {', '.join(known)}"
            )


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
    """From the source of a module: importing an objective would import torch."""
    module, _, name = target.rpartition(".")
    if not module.startswith("ssl_audio."):
        return None
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return None
    with open(found.origin, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    for node in classes[0].body if classes else []:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            return [a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg != "self"]
    return None


def _imported_arguments(target: str) -> list[str] | None:
    from hydra.utils import get_object

    try:
        parameters = inspect.signature(get_object(target)).parameters
    except Exception:  # an import may fail with anything; `instantiate` reports it with its reason
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return list(parameters)


def _at(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    node: Any = values
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return dict(node) if isinstance(node, Mapping) else {}
