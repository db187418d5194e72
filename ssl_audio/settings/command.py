"""A command: its settings, help, errors and exit status."""

import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ssl_audio.io import log
from ssl_audio.io.console import guarded
from ssl_audio.io.errors import SslAudioError
from ssl_audio.io.version import __version__
from ssl_audio.settings.components import check_components, default_components
from ssl_audio.settings.declaration import Declaration
from ssl_audio.settings.fields import CommandSettings
from ssl_audio.settings.help import help_for, help_text
from ssl_audio.settings.recipes import PRESETS, VIEWS, read_recipe, read_view_set, recipe_names
from ssl_audio.settings.tree import Settings, build, check_alone, to_yaml
from ssl_audio.settings.words import merged, option_words, read_words


class Command(Declaration[Settings]):
    """One command of the package: reads its words, and runs."""

    def load(self, words: Sequence[str]) -> Settings:
        """The settings that the words of a command line give.

        Raises:
            SslAudioError: an unknown key or choice, a wrong value, or one that is missing.
        """
        recipe, preset, rest = _recipe_words(words, self.named_recipes)
        if self.named_recipes:
            rest = [_with_view_set(word) for word in rest]
        given = read_words(self.settings, rest, self.positional)
        check_alone(self.settings, given.values)  # at once: importing Hydra is slow
        values: dict[str, Any] = {}
        if recipe is not None:
            name, values = read_recipe(recipe, preset)
            if self.named_recipes:
                values["recipe"] = name
        elif self.named_recipes:
            raise SslAudioError(f"name a recipe: recipe={' | '.join(recipe_names())}")
        values = merged(default_components(self.settings), values)
        check_components(values, given)
        return build(self.settings, merged(values, given.values))

    def main(
        self, run: Callable[[Settings], int | None], arguments: Sequence[str] | None = None
    ) -> int:
        """Run the command.

        Args:
            run: called with the settings; what it returns is the exit status, None is 0.
            arguments: the words after the command; default is the process's own.
        """
        words = list(sys.argv[1:] if arguments is None else arguments)
        log.set_json("log=json" in words)  # before the settings are read: they may be wrong
        try:
            return guarded(lambda: self._dispatch(run, words))
        finally:
            log.set_json(False)

    def _dispatch(self, run: Callable[[Settings], int | None], words: list[str]) -> int | None:
        options, rest = option_words(words)
        if "--version" in options:
            print(f"ssl_audio {__version__}", flush=True)
            return 0
        if options & {"-h", "--help"}:
            keys = [word for word in rest if "=" not in word and not word.startswith("-")]
            print(help_for(self, keys[0]) if keys else help_text(self), flush=True)
            return 0
        settings = self.load(rest)
        if "--config" in options:
            print(to_yaml(settings), end="", flush=True)
            return 0
        if isinstance(settings, CommandSettings):
            line = f"{self.program} {shlex.join(words)}".strip()
            settings = replace(settings, command=line)
            log.set_json(settings.log == "json")
            log.event("start", command=line, version=__version__)
        return run(settings)


def _with_view_set(word: str) -> str:
    """`views=NAME` with the set's transforms written out; another word as it is."""
    key, sign, name = word.partition("=")
    is_set = key == VIEWS and sign and not name.startswith("[")
    return f"{VIEWS}={json.dumps(read_view_set(name))}" if is_set else word


def _recipe_words(
    words: Sequence[str], with_presets: bool
) -> tuple[str | None, str | None, list[str]]:
    """The recipe, the preset of its schedule, and the other words."""
    found: dict[str, str] = {}
    rest = []
    for word in words:
        key, sign, value = word.partition("=")
        if sign and (key == "recipe" or (key == PRESETS and with_presets)):
            found[key] = value
        else:
            rest.append(word)
    return found.get("recipe"), found.get(PRESETS), rest
