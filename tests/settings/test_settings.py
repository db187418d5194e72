"""Settings: what is accepted, what is refused, and by which words."""

import json
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.settings.command import Command
from ssl_audio.settings.fields import (
    CommandSettings,
    Group,
    SettingError,
    group,
    setting,
    variants,
)
from ssl_audio.settings.tree import build, keys_of, plain, to_yaml
from ssl_audio.settings.types import Component
from ssl_audio.settings.words import read_words


class Inner(Group):
    steps: int = setting(10, help="steps", min=1)
    rate: float | None = setting(0.5, help="rate", above=0, below=1)
    sizes: tuple[int, ...] = setting((25, 10), help="sizes", min=1)


class Demo(Group):
    segment: float = setting(4.0, help="seconds", above=0)


class Folder(Demo):
    root: Path = setting(help="folder")


class Settings(CommandSettings):
    query: str = setting("", help="text")
    source: Path | None = setting(None, help="path")
    files: tuple[Path, ...] = setting((), help="paths")
    precision: Literal["float32", "bfloat16"] = setting("float32", help="precision")
    workers: int | Literal["auto"] = setting("auto", help="processes", min=0)
    loud: bool = setting(False, help="a switch")
    inner: Inner = group(Inner, "inner settings")
    data: Demo = variants({"demo": Demo, "folder": Folder}, "demo", help="audio", selector="data")
    part: Component = setting({"_target_": "builtins.dict"}, help="an object")


COMMAND = Command(
    name="test", summary="A test.", usage="[KEY=VALUE ...]", examples=("loud=true",),
    settings=Settings,
)  # fmt: skip


def load(*words: str) -> Settings:
    return COMMAND.load(words)


literal_text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))


@given(literal_text)
def test_text_is_literal(text: str) -> None:
    assert load(f"query={text}").query == text


@given(literal_text.filter(lambda text: text not in ("", "null") and "://" not in text))
def test_a_path_is_literal(text: str) -> None:
    assert load(f"source={text}").source == Path(text)


@pytest.mark.parametrize("text", ["s3://bucket/a", "gs://b", "https://x.org/y", ""])
def test_urls_are_no_local_paths(text: str) -> None:
    with pytest.raises(SettingError, match="source=.*a local path"):
        load(f"source={text}")


def test_lists() -> None:
    assert load("files=[a,b c]").files == (Path("a"), Path("b c"))
    assert load('files=["a,b",c]').files == (Path("a,b"), Path("c"))
    assert load("files=a", "files=b,c").files == (Path("a"), Path("b,c"))
    assert load("files=[]").files == ()
    assert load("inner.sizes=[3]").inner.sizes == (3,)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("inner.steps=0", "inner.steps=0: a whole number, 1 or more"),
        ("inner.steps=1.5", "inner.steps=1.5: a whole number"),
        ("inner.steps=null", "inner.steps=null: a whole number"),
        ("inner.steps=nan", "inner.steps=nan"),
        ("inner.rate=1", "inner.rate=1.0: a number or null, above 0, below 1"),
        ("inner.sizes=[3,0]", "inner.sizes"),
        ("inner=3", "inner is a group of settings: inner.steps, inner.rate"),
        ("workers=1.5", "workers=1.5: a whole number or auto"),
        ("loud=maybe", "loud=maybe: true or false"),
        ("precision=bfloat17", "Did you mean bfloat16"),
        ("precison=float32", "precison: no such setting. Did you mean precision"),
        ("inner.stepz=3", "Did you mean inner.steps"),
        ("steps=3", "Did you mean inner.steps"),
        ("+steps_of=3", "steps_of: no such setting"),
        ("+loud=true", "write loud=true"),
        ("data=foldr", "data=foldr does not exist. Did you mean folder"),
        ("data=folder", "data.root= is required: a local path"),
        ("data.root=x", "data.root is a setting of data=folder, not of data=demo"),
        ("data.segment=0", "data.segment=0.0: a number, above 0"),
        ("command=x", "command: no such setting"),
        ("loud", "'loud' is not KEY=VALUE"),
        ("part=3", "part=3: a component"),
        ("part.x=[", "part.x=[: not a YAML value"),
    ],
)
def test_refusals(word: str, message: str) -> None:
    with pytest.raises(SslAudioError) as error:
        load(word)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "searchpath" not in str(error.value)


def test_values_from_python_are_checked_too() -> None:
    assert Inner(steps=3.0).steps == 3  # type: ignore[arg-type]
    assert Inner(sizes=[1, 2]).sizes == (1, 2)  # type: ignore[arg-type]
    for wrong in (True, "3", 0, float("inf"), None):
        with pytest.raises(SettingError, match="steps="):
            Inner(steps=wrong)  # type: ignore[arg-type]
    with pytest.raises(FrozenInstanceError):
        Inner().steps = 3  # type: ignore[misc]


def test_arguments_of_components() -> None:
    made = load("part._target_=my.Class", "part.rate=1e-3", "part.on=true", "part.name=x").part
    assert made == {"_target_": "my.Class", "rate": 1e-3, "on": True, "name": "x"}


local_paths = literal_text.filter(lambda text: text and "://" not in text).map(Path)
settings = st.builds(
    Settings,
    query=literal_text,
    source=st.none() | local_paths,
    files=st.lists(local_paths).map(tuple),
    workers=st.just("auto") | st.integers(0, 10**9),
    inner=st.builds(Inner, rate=st.none() | st.floats(1e-300, 0.999)),
    data=st.builds(Demo) | st.builds(Folder, root=local_paths),
)  # fmt: skip


@given(settings)
def test_yaml_and_json_make_the_same_settings_again(made: Settings) -> None:
    assert build(Settings, yaml.safe_load(to_yaml(made))) == made
    assert build(Settings, json.loads(json.dumps(plain(made)))) == made


def test_every_setting_has_help_and_stands_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert COMMAND.main(lambda _: 0, ["--help"]) == 0
    text = capsys.readouterr().out
    for key in keys_of(Settings):
        assert key.help and key.name in text
    assert COMMAND.main(lambda _: 0, ["--help", "inner.steps"]) == 0
    assert "a whole number, 1 or more; default 10" in " ".join(capsys.readouterr().out.split())
    assert COMMAND.main(lambda _: 0, ["--help", "inner.stepz"]) == 1
    assert "Did you mean inner.steps?" in capsys.readouterr().err


def test_config_is_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["inner.steps=3", "query=1e3", "data=folder", "data.root=true"]
    assert COMMAND.main(lambda _: 0, [*words, "--config"]) == 0
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(capsys.readouterr().out)
    assert load(f"recipe={recipe}") == load(*words)
    assert load(f"recipe={recipe}", "inner.steps=4").inner.steps == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner: {steps: 0}", "inner.steps=0: a whole number, 1 or more"),
        ("inner: 3", "inner=3: a group of settings"),
        ("precison: float32", "Did you mean precision"),
        ("query: [", "while parsing"),
        ("- a\n- b", "recipe="),
        ("defaults: [nowhere]", "nowhere"),
    ],
)
def test_broken_recipes(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(SslAudioError) as error:
        load(f"recipe={tmp_path / 'mine.yaml'}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "searchpath" not in str(error.value)


def test_positional_words() -> None:
    found = read_words(Settings, ["a", "./b=c", "loud=true"], ["files"])
    assert found.values == {"files": [Path("a"), Path("b=c")], "loud": True}
    with pytest.raises(SslAudioError, match="b: no such setting"):
        read_words(Settings, ["a", "b=c"], ["files"])


def test_the_command_line_is_recorded() -> None:
    lines: list[str] = []
    COMMAND.main(lambda s: lines.append(s.command), ["query=a b"])
    assert lines == ["ssl-audio test 'query=a b'"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from ssl_audio import __version__

    assert COMMAND.main(lambda _: 0, ["--version"]) == 0
    assert capsys.readouterr().out == f"ssl_audio {__version__}\n"
