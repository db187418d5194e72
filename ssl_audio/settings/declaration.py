"""The declaration of a command: its names, its settings and what its help says."""

from dataclasses import dataclass
from typing import Generic

from ssl_audio.settings.tree import Settings


@dataclass(frozen=True)
class Declaration(Generic[Settings]):
    """What a command is called, and what it takes."""

    name: str  # the word after `ssl-audio`, and the name of the module in `ssl_audio`
    summary: str  # one line
    usage: str  # the words after the name
    examples: tuple[str, ...]  # words of useful calls
    settings: type[Settings]  # the dataclass of its settings
    positional: tuple[str, ...] = ()  # keys of the positional arguments, in order
    named_recipes: bool = False  # a recipe is required, and may be one of the package's
    script: str = ""  # how a tool is started, such as `python tools/prepare.py`

    @property
    def program(self) -> str:
        """The words that start the command."""
        return self.script or f"ssl-audio {self.name}"
