"""Studies as YAML files: rows of pretraining words, seeds, and the probes of every row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.fields import Group, SettingError, setting
from ssl_audio.settings.tree import build, unknown_choice
from ssl_audio.settings.types import Component

STUDIES = Path(__file__).with_name("studies")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")  # of rows and probes, which name files
_PLACE = re.compile(r"\{(\w+)\}")
_OWN = ("seed", "run_dir", "ckpt_path", "checkpoint", "baselines", "cache")  # set by the runner


class Study(Group):
    """What a study's file holds."""

    title: str = setting(help="what the study compares")
    places: Component = setting({}, help="the file or folder that {NAME} is in the words, by NAME")
    pretrain: tuple[str, ...] = setting(help="words of ssl-audio pretrain for every row")
    rows: Component = setting(help="further words of each row, which replace those of equal keys")
    reference: str = setting(help="the row that the others are compared with")
    seeds: tuple[int, ...] = setting(help="seeds of every row", min=0)
    probes: Component = setting(help="words of ssl-audio probe for each labelled set")

    def check(self) -> None:
        for key in ("rows", "probes"):
            named = getattr(self, key)
            if not named:
                raise SettingError(key, None, "one or more, by name")
            for name, words in named.items():
                if not isinstance(name, str) or not _NAME.fullmatch(name):
                    raise SettingError(f"{key}.{name}", name, "a name such as pairs-0-4")
                _check_words(f"{key}.{name}", words)
        _check_words("pretrain", list(self.pretrain))
        if self.reference not in self.rows:
            raise SettingError("reference", self.reference, f"one of {', '.join(self.rows)}")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise SettingError("seeds", self.seeds, "one or more, each once")

    def runs(self) -> list[Run]:
        """All runs, those of the first seed first, so that a stopped study has every row."""
        return [
            Run(row, seed, (*_merged(self.pretrain, words), f"seed={seed}"))
            for seed in self.seeds
            for row, words in self.rows.items()
        ]


@dataclass(frozen=True)
class Run:
    """One training of a study; its words have {NAME} for places."""

    row: str
    seed: int
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.row}-seed{self.seed}"


def read_study(name: str) -> tuple[str, Study]:
    """A study's name, and the study.

    Args:
        name: of a file in `tools/studies`, or the path of a YAML file.

    Raises:
        SslAudioError: no such study, or a file that is no valid one.
    """
    import yaml

    own = Path(name) if name.endswith((".yaml", ".yml")) else None
    known = sorted(path.stem for path in STUDIES.glob("*.yaml"))
    if own is None and name not in known:
        raise SslAudioError(unknown_choice("study", name, known))
    path = own or STUDIES / f"{name}.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SslAudioError(f"study={name}: {' '.join(str(error).split())}") from None
    if not isinstance(values, Mapping):
        raise SslAudioError(f"study={name}: a study is a mapping of settings")
    try:
        return path.stem, build(Study, values)
    except SslAudioError as error:
        raise SslAudioError(f"{path}: {error}") from None


def read_places(study: Study, words: Sequence[str]) -> dict[str, str]:
    """The files and folders of a study by name, from words such as music=/music.

    Raises:
        SslAudioError: a word that names no place of the study or no file, or a place that no word
            names.
    """
    found = {}
    for word in words:
        name, sign, place = word.partition("=")
        if name not in study.places or not sign or not place:
            expected = ", ".join(f"{name}=..." for name in study.places) or "nothing"
            raise SslAudioError(f"places={word}: this study takes {expected}")
        if not Path(place).exists():
            raise SslAudioError(f"places={word}: no such file or folder")
        found[name] = place
    missing = [name for name in study.places if name not in found]
    if missing:
        wanted = "; ".join(f"{name}=... ({study.places[name]})" for name in missing)
        raise SslAudioError(f"places= is required for this study: {wanted}")
    return found


def placed(words: Sequence[str], places: Mapping[str, str]) -> list[str]:
    """Words with the places written out."""
    return [_PLACE.sub(lambda m: places.get(m[1], m[0]), word) for word in words]


def _check_words(key: str, words: object) -> None:
    """Refuse what is no list of KEY=VALUE words, and keys that the runner sets itself."""
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise SettingError(key, words, "a list of KEY=VALUE words")
    for word in words:
        name, sign, _ = word.partition("=")
        if not sign or name in _OWN:
            expected = "the runner sets it" if sign else "not KEY=VALUE"
            raise SettingError(key, word, expected)


def _merged(common: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    keys = {word.partition("=")[0] for word in own}
    return (*(word for word in common if word.partition("=")[0] not in keys), *own)
