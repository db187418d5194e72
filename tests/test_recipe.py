"""Recipes: what is refused, and how it is said."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ssl_audio.io.errors import SslAudioError
from ssl_audio.pretrain import COMMAND
from ssl_audio.recipe import help_text, load_recipe, main_with, recipe_names, resolve

COMMANDS = ["pretrain", "probe", "report", "embed", "acoustic", "search", "deploy"]
FIVE = ["barlow_twins", "byol", "clustering", "contrastive", "vicreg"]


def test_there_are_five_recipes():
    assert recipe_names() == FIVE


@pytest.mark.parametrize("name", FIVE)
def test_each_recipe_resolves_and_names_a_class(name):
    settings = resolve(load_recipe([f"recipe={name}"]))
    assert settings["recipe"] == name
    assert settings["objective"]["_target_"].startswith("ssl_audio.objectives.")
    assert settings["trainer"]["max_steps"] > 0


def test_paper_schedule_is_the_papers():
    settings = resolve(load_recipe(["recipe=contrastive", "schedule=paper"]))
    assert settings["data"]["batch_size"] == 256
    assert settings["trainer"]["max_steps"] == 1000 * 512


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a recipe"),
        (["recipe=contrastiv"], "Did you mean contrastive"),
        (["recipe=nothing"], "barlow_twins, byol, clustering, contrastive, vicreg"),
        (["recipe=./no.yaml"], "no such file"),
        (["recipe=byol", "data.bach_size=3"], "bach_size"),
        (["recipe=byol", "data.batch_size=many"], "a number is wanted"),
        (["recipe=byol", "trainer.compile=3"], "true or false"),
        (["recipe=byol", "data=nowhere"], "nowhere"),
        (["recipe=byol", "seed"], "KEY=VALUE"),
        (["recipe=byol", "--fast"], "KEY=VALUE"),
    ],
)
def test_refusals_are_one_line(words, message):
    with pytest.raises(SslAudioError) as caught:
        load_recipe(words)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_value_is_named():
    with pytest.raises(SslAudioError, match="data.root"):
        resolve(load_recipe(["recipe=byol", "data=folder"]))


def test_own_recipe_file(tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text("defaults:\n  - contrastive\n  - _self_\nobjective:\n  temperature: 0.2\n")
    settings = resolve(load_recipe([f"recipe={own}", "seed=3"]))
    assert settings["objective"]["temperature"] == 0.2
    assert (settings["recipe"], settings["seed"]) == ("mine", 3)


def test_main_prints_one_line_and_fails(capsys):
    assert main_with(COMMAND, lambda config: None, ["recipe=none"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


def test_help_shows_groups_and_an_example():
    text = help_text(COMMAND)
    assert "recipe=contrastive" in text and "data " in text and "schedule" in text


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--help"], ["recipe=wrong"]])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_refusal_import_nothing_heavy(command, words):
    root = Path(__file__).resolve().parents[1]
    probe = (
        "import sys, runpy\n"
        f"sys.argv = ['{command}', *{words!r}]\n"
        f"try: runpy.run_module('ssl_audio.{command}', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'timm', 'lightning') if m in sys.modules], file=sys.stderr)\n"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, cwd=root, timeout=120
    )
    assert time.monotonic() - started < 60
    assert done.stderr.strip().endswith("[]"), done.stderr


def test_whoever_stops_reading_gets_no_traceback():
    command = f"{sys.executable} -m ssl_audio.pretrain --help | true"
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=root, timeout=60
    )
    assert done.stderr == ""
