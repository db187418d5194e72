"""Recipes: YAML files, composed by Hydra, that say what differs between runs.

A recipe may build on others by a `defaults:` list, as `recipes/contrastive.yaml` does; a user's own
file may build on the package's. Only plain values come out: the dataclasses type and check them.
"""

import copy
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.tree import unknown_choice

PRESETS = "schedule"  # the folder of presets that any recipe can be combined with
VIEWS = "views"  # the folder of sets of transforms, and their key


def recipes_folder() -> Path:
    """The folder of recipes: inside an installed package, or at the top level of a clone."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def recipe_names() -> list[str]:
    """Names that `recipe=` takes."""
    return sorted(path.stem for path in recipes_folder().glob("*.yaml"))


def preset_names() -> list[str]:
    """Names that `schedule=` takes."""
    return sorted(path.stem for path in (recipes_folder() / PRESETS).glob("*.yaml"))


def view_sets() -> list[str]:
    """Names that `views=` takes."""
    return sorted(path.stem for path in (recipes_folder() / VIEWS).glob("*.yaml"))


def read_view_set(name: str) -> list[dict[str, Any]]:
    """The transforms of a set.

    Raises:
        SslAudioError: no such set.
    """
    import yaml

    if name not in view_sets():
        raise SslAudioError(unknown_choice(VIEWS, name, view_sets()))
    text = (recipes_folder() / VIEWS / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)[VIEWS]


def read_recipe(name: str, preset: str | None = None) -> tuple[str, dict[str, Any]]:
    """The recipe's name and its values.

    Args:
        name: a recipe of the package, or the path of a YAML file.
        preset: the schedule, instead of the recipe's own.

    Raises:
        SslAudioError: no such recipe or schedule, or a file that is no valid YAML recipe.
    """
    own = Path(name) if name.endswith((".yaml", ".yml")) else None
    if own is not None and not own.is_file():
        raise SslAudioError(f"recipe={name}: no such file")
    if own is None and name not in recipe_names():
        raise SslAudioError(unknown_choice("recipe", name, recipe_names()))
    if preset is not None and preset not in preset_names():
        raise SslAudioError(unknown_choice(PRESETS, preset, preset_names()))
    if own is not None and str(own.resolve().parent) not in sys.path:
        sys.path.append(str(own.resolve().parent))  # a component's class may lie beside the recipe
    overrides = (f"{PRESETS}={preset}",) if preset else ()
    if own is None:
        return name, copy.deepcopy(_composed(name, overrides))
    return own.stem, _compose(own, own.stem, overrides)


@cache
def _composed(name: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    """A recipe of the package, whose files do not change: Hydra takes a quarter of a second."""
    return _compose(None, name, overrides)


def _compose(own: Path | None, name: str, overrides: Sequence[str]) -> dict[str, Any]:
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    folder = own.resolve().parent if own else recipes_folder()
    search = [f"hydra.searchpath=[file://{recipes_folder()}]"] if own else []
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # a defaults list without `_self_`
            initialize_config_dir(config_dir=str(folder), version_base="1.3"),
        ):
            config = compose(config_name=name, overrides=[*search, *overrides])
        values = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException, YAMLError, UnicodeDecodeError) as error:
        raise SslAudioError(f"recipe={own or name}: {_reason(error)}") from error
    if not isinstance(values, dict):
        raise SslAudioError(f"recipe={own or name}: a recipe is a mapping of settings")
    return {str(key): value for key, value in values.items()}


def _reason(error: Exception) -> str:
    """One line of an error of Hydra, without its search path."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    noise = ("full_key", "object_type", "reference", "Config search path", "provider=", "Set ")
    shown = [line for line in lines if not line.startswith(noise)]
    return " ".join(shown)[:300] or type(error).__name__
