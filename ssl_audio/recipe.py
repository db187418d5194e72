"""Recipes: from the words on a command line to one resolved configuration.

A recipe is a YAML file in `recipes/` (or a user's own file) composed by Hydra. Everything that can
be refused is refused here, before anything slow is imported.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_audio.errors import SslAudioError

if TYPE_CHECKING:
    from omegaconf import DictConfig


def recipes_folder() -> Path:
    """The folder of recipes: inside an installed package, or at the top of a clone."""
    package = Path(__file__).resolve().parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def recipe_names() -> list[str]:
    """Names that `recipe=` takes."""
    return sorted(path.stem for path in recipes_folder().glob("*.yaml"))


def groups() -> dict[str, list[str]]:
    """The groups of a recipe and the choices in each, as `data=folder` takes them."""
    folders = sorted(p for p in recipes_folder().iterdir() if p.is_dir() and p.name != "base")
    return {folder.name: sorted(p.stem for p in folder.glob("*.yaml")) for folder in folders}


def help_text(command: str) -> str:
    """The command's `--help`."""
    lines = [
        f"usage: python -m ssl_audio.{command} recipe=NAME [GROUP=CHOICE ...] [KEY=VALUE ...]",
        "",
        f"  recipe       {' | '.join(recipe_names())} | path/to/own.yaml",
        *(f"  {name:<12} {' | '.join(choices)}" for name, choices in groups().items()),
        "",
        "often set:  data.root=  data.batch_size=  trainer.max_steps=",
        "            trainer.max_time=00:00:05:00  seed=  run_dir=  ckpt_path=last",
        "",
        "example:",
        f"  python -m ssl_audio.{command} recipe=contrastive data=folder data.root=/music",
        "",
        "--config prints the resolved configuration and ends.",
    ]
    return "\n".join(lines)


def load_recipe(arguments: Sequence[str]) -> DictConfig:
    """Compose the configuration that `recipe=NAME KEY=VALUE ...` names.

    Raises:
        SslAudioError: no recipe, an unknown one, an unknown key, or a value of another type than
            the recipe's own.
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
    stem = own.stem if own else name
    config = _compose(own, stem, overrides)
    _check_types(config, _compose(own, stem, [o for o in overrides if _is_group(o)]))
    return config


def _split(arguments: Sequence[str]) -> tuple[str, list[str]]:
    for argument in arguments:
        if "=" not in argument.lstrip("-") or argument.startswith("-"):
            raise SslAudioError(f"{argument!r} is not KEY=VALUE; see --help")
    names = [a.partition("=")[2] for a in arguments if a.startswith("recipe=")]
    if not names:
        raise SslAudioError(f"name a recipe: recipe={' | '.join(recipe_names())}")
    return names[-1], [a for a in arguments if not a.startswith("recipe=")]


def _is_group(override: str) -> bool:
    return override.partition("=")[0] in groups()


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
        config.recipe = name
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


def main_with(command: str, run: Any, arguments: Sequence[str] | None = None) -> int:
    """Run a command: help, one line for what the user can mend, an exit status.

    Args:
        command: the module's name, for the help.
        run: called with the configuration.
        arguments: the words after the command; default is the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(words):
        print(help_text(command))
        return 0
    try:
        config = load_recipe([word for word in words if word != "--config"])
        if "--config" in words:
            from omegaconf import OmegaConf

            print(OmegaConf.to_yaml(config), end="")
            return 0
        run(config)
    except SslAudioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0
