"""Recipes: from the words on a command line to one resolved configuration.

A recipe is a YAML file in `recipes/` (or a user's own file) composed by Hydra. Everything that can
be refused is refused here, before anything slow is imported.
"""

from __future__ import annotations

import difflib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_audio.io.console import guarded
from ssl_audio.io.errors import SslAudioError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def recipes_folder() -> Path:
    """The folder of recipes: inside an installed package, or at the top of a clone."""
    package = Path(__file__).resolve().parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


@dataclass(frozen=True)
class Command:
    """One command of the package, and what its `--help` says.

    Attributes:
        name: module below `ssl_audio`; its configuration is `recipes/base/NAME.yaml`.
        does: one line.
        usage: the words after the module.
        often: keys that are often set.
        example: words of one useful call.
        by_recipe: `recipe=NAME` names a configuration that builds on the command's own.
        statuses: exit statuses of its own, and what they mean.
    """

    name: str
    does: str
    usage: str
    often: tuple[str, ...]
    example: str
    by_recipe: bool = False
    statuses: tuple[tuple[int, str], ...] = ()


def recipe_names() -> list[str]:
    """Names that `recipe=` takes."""
    return sorted(path.stem for path in recipes_folder().glob("*.yaml"))


def groups(command: str) -> dict[str, list[str]]:
    """The groups of a command and the choices in each, as `data=folder` takes them."""
    text = (recipes_folder() / "base" / f"{command}.yaml").read_text()
    names = [line.split("/")[1].split(":")[0] for line in text.splitlines() if "- /" in line]
    return {
        name: sorted(path.stem for path in (recipes_folder() / name).glob("*.yaml"))
        for name in names
    }


def help_text(command: Command) -> str:
    """The command's `--help`."""
    choices = groups(command.name)
    if command.by_recipe:
        choices = {"recipe": [*recipe_names(), "path/to/own.yaml"], **choices}
    width = max((len(name) for name in choices), default=0) + 2
    lines = [
        command.does,
        "",
        f"usage: python -m ssl_audio.{command.name} {command.usage}",
        "",
        *(f"  {name:<{width}} {' | '.join(of)}" for name, of in choices.items()),
        "",
        f"often set:  {'  '.join(command.often)}",
        "",
        "example:",
        f"  python -m ssl_audio.{command.name} {command.example}",
        "",
        "--config prints the resolved configuration and ends.",
        *(f"exit status {status}: {meaning}" for status, meaning in command.statuses),
    ]
    return "\n".join(lines)


def load(command: Command, arguments: Sequence[str]) -> DictConfig:
    """Compose a command's configuration from its words.

    Raises:
        SslAudioError: no recipe where one is wanted, an unknown one, an unknown key or choice, or
            a value of another type than the configuration's own.
    """
    if command.by_recipe:
        return load_recipe(arguments, command.name)
    return _load_checked(None, f"base/{command.name}", command.name, _key_values(arguments))


def load_recipe(arguments: Sequence[str], command: str = "pretrain") -> DictConfig:
    """Compose the configuration that `recipe=NAME KEY=VALUE ...` names.

    Raises:
        SslAudioError: as `load`.
    """
    name, overrides = _split(arguments)
    own = Path(name) if name.endswith((".yaml", ".yml")) else None
    if own is not None and not own.is_file():
        raise SslAudioError(f"recipe={name}: no such file")
    if own is None and name not in recipe_names():
        close = difflib.get_close_matches(name, recipe_names(), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise SslAudioError(
            f"recipe={name} does not exist.{hint} Recipes: {', '.join(recipe_names())}"
        )
    if own is not None and str(own.resolve().parent) not in sys.path:
        sys.path.append(str(own.resolve().parent))  # classes of one's own may lie beside it
    config = _load_checked(own, own.stem if own else name, command, overrides)
    config.recipe = own.stem if own else name
    return config


def _load_checked(own: Path | None, name: str, command: str, overrides: list[str]) -> DictConfig:
    config = _compose(own, name, overrides)
    chosen = [o for o in overrides if o.partition("=")[0] in groups(command)]
    _check_types(config, _compose(own, name, chosen))
    return config


def _key_values(arguments: Sequence[str]) -> list[str]:
    for argument in arguments:
        if "=" not in argument.lstrip("-") or argument.startswith("-"):
            raise SslAudioError(f"{argument!r} is not KEY=VALUE; see --help")
    return list(arguments)


def _split(arguments: Sequence[str]) -> tuple[str, list[str]]:
    words = _key_values(arguments)
    names = [word.partition("=")[2] for word in words if word.startswith("recipe=")]
    if not names:
        raise SslAudioError(f"name a recipe: recipe={' | '.join(recipe_names())}")
    return names[-1], [word for word in words if not word.startswith("recipe=")]


def _compose(own: Path | None, name: str, overrides: list[str]) -> DictConfig:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    folder = own.resolve().parent if own else recipes_folder()
    search = [f"hydra.searchpath=[file://{recipes_folder()}]"] if own else []
    try:
        with initialize_config_dir(config_dir=str(folder), version_base="1.3"):
            config = compose(config_name=name, overrides=[*search, *overrides])
        OmegaConf.set_struct(config, False)
        return config
    except (HydraException, OmegaConfBaseException) as error:
        raise SslAudioError(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    noise = ("full_key", "object_type", "reference")
    shown = [line for line in lines if not line.startswith(noise)]
    return " ".join(shown) + " (see --help and --config)"


def _check_types(config: DictConfig, plain: DictConfig) -> None:
    """Refuse text where the recipe itself has a number or a switch."""
    own = dict(_leaves(plain))
    for key, value in _leaves(config):
        default = own.get(key)
        numeric = isinstance(default, int | float) and not isinstance(default, bool)
        if numeric and (isinstance(value, bool) or not isinstance(value, int | float | None)):
            raise SslAudioError(f"{key}={value!r}: a number is wanted, such as {default}")
        if isinstance(default, bool) and not isinstance(value, bool):
            raise SslAudioError(f"{key}={value!r}: true or false is wanted")


def _leaves(config: DictConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    from omegaconf import DictConfig as Node
    from omegaconf import OmegaConf

    for key in map(str, config):
        name = f"{prefix}{key}"
        if OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key):
            continue
        value = config[key]
        if isinstance(value, Node):
            yield from _leaves(value, f"{name}.")
        else:
            yield name, value


def resolve(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain values, every reference followed.

    Raises:
        SslAudioError: a key that must be given is not.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    missing = _missing(OmegaConf.to_container(config, resolve=False))
    if missing:
        raise SslAudioError(f"give {missing[0]}=... : this recipe has no default for it")
    try:
        return OmegaConf.to_container(config, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise SslAudioError(_one_line(error)) from error


def _missing(node: Any, prefix: str = "") -> list[str]:
    if isinstance(node, dict):
        return [name for k, v in node.items() for name in _missing(v, f"{prefix}.{k}".strip("."))]
    return [prefix] if node == "???" else []


def _record(config: DictConfig, command: Command, words: Sequence[str]) -> None:
    """Keep the command itself in the configuration that a run saves."""
    from omegaconf import open_dict

    with open_dict(config):
        config.command = shlex.join(["python", "-m", f"ssl_audio.{command.name}", *words])


def main_with(
    command: Command,
    run: Callable[[DictConfig], int | None],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a command: help, one line for what the user can mend, an exit status.

    Args:
        command: for the help and the configuration.
        run: called with the configuration; what it returns is the exit status, None is 0.
        arguments: the words after the command; default is the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: _answer(command, run, words))


def _answer(
    command: Command, run: Callable[[DictConfig], int | None], words: list[str]
) -> int | None:
    if {"-h", "--help"} & set(words):
        print(help_text(command), flush=True)
        return 0
    config = load(command, [word for word in words if word != "--config"])
    if "--config" in words:
        from omegaconf import OmegaConf

        print(OmegaConf.to_yaml(config), end="")
        return 0
    _record(config, command, words)
    return run(config)
