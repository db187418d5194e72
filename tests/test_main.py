"""`ssl-audio`: the list of commands, and what all of them share."""

import re
import subprocess
import sys
from importlib import import_module

import pytest
import yaml

from ssl_audio.__main__ import COMMANDS, main
from ssl_audio.io.console import EXIT_STATUSES
from ssl_audio.settings.command import Command
from ssl_audio.settings.tree import keys_of


def command_of(name: str) -> Command:
    found: Command = import_module(f"ssl_audio.{name}").COMMAND
    return found


def test_the_commands_are_listed_with_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["-h"]):
        assert main(words) == 0
        text = capsys.readouterr().out
        assert all(f"{name} " in text and summary in text for name, summary in COMMANDS.items())
        assert all(f"{code} " in text for code in EXIT_STATUSES)


def test_a_mistyped_command_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretran"]) == 1
    assert "Did you mean pretrain?" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_lists_every_key_with_type_default_and_meaning(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    command = command_of(name)
    for key in keys_of(command.settings):
        assert key.name in text and " ".join(key.help.split()) in text
        assert len(key.help) < 160 and not key.help.endswith(".")
    for example in command.examples:
        assert f"ssl-audio {name} {example}" in text
    assert main([name, "--version"]) == 0
    assert re.fullmatch(r"ssl_audio \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_help_loads_no_slow_library() -> None:
    code = (
        "import sys; from ssl_audio.__main__ import COMMANDS, main\n"
        "slow = {'torch', 'scipy.signal', 'sklearn', 'lightning', 'pandas', 'matplotlib'}\n"
        "for name in COMMANDS:\n"
        "    assert main([name, '--help']) == 0\n"
        "    assert not slow & set(sys.modules), (name, slow & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_key_can_be_explained_alone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for key in keys_of(command_of(name).settings):
        assert main([name, "--help", key.name]) == 0
        assert " ".join(key.help.split()) in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_unknown_keys_are_refused_in_one_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = ["recipe=contrastive"] if command_of(name).named_recipes else []
    for word in ("no_such_key=1", "+no_such_key=1", "no.such.key=1"):
        assert main([name, *recipe, word]) == 1
        text = capsys.readouterr().err
        assert text.startswith("error: ") and text.count("\n") == 1
        assert "no such setting" in text and "searchpath" not in text and "use +" not in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pretrain", ["recipe=vicreg", "data=folder", "data.root=a b"]),
        ("probe", ["dataset=csv", "data.table=x=[1].csv", "probe=mlp", "checkpoint=[a,b]"]),
        ("embed", ["source=Motörhead, (live) it's", "checkpoint=null.d", "output=1e3.parquet"]),
        ("search", ["index=f.parquet", "query=null"]),
        ("acoustic", ["features=f.parquet", "output=$a.parquet"]),
        ("export", ["checkpoint=contrastive"]),
        ("demo", ["output=#1", "checkpoint=contrastive"]),
        ("recommend", ["playlists={p}.csv", "musig.fan_out=[5]"]),
        ("report", ["runs/a", "runs/b=c"]),
    ],
)
def test_the_printed_configuration_has_a_comment_per_key(
    name: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, *words, "--config"]) == 0
    text = capsys.readouterr().out
    assert isinstance(yaml.safe_load(text), dict)
    lines = [line for line in text.splitlines() if re.match(r"\w+:", line)]
    assert lines and all("  # " in line for line in lines)
