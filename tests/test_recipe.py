"""Recipes: what they resolve to, and a user's own."""

import subprocess
import sys
from pathlib import Path

import pytest

from ssl_audio.__main__ import COMMANDS
from ssl_audio.io.errors import SslAudioError
from ssl_audio.pretrain import COMMAND
from ssl_audio.settings.recipes import recipe_names
from ssl_audio.settings.tree import to_yaml

NAMES = ["barlow_twins", "byol", "clustering", "contrastive", "distillation", "masked", "vicreg"]
ROOT = Path(__file__).resolve().parents[1]


def test_the_recipes_of_the_package():
    assert recipe_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_recipe_names_its_class_and_arguments(name):
    settings = COMMAND.load([f"recipe={name}"])
    assert settings.recipe == name and settings.schedule == "auto"
    assert settings.objective["_target_"].startswith(f"ssl_audio.objectives.{name}.")
    assert settings.data.batch_size == settings.trainer.max_steps == "auto"


def test_the_papers_schedule():
    settings = COMMAND.load(["recipe=contrastive", "schedule=paper"])
    assert settings.schedule == "paper" and settings.data.batch_size == 256
    assert settings.trainer.max_steps == 1000 * 512
    changed = COMMAND.load(["recipe=contrastive", "schedule=paper", "data.batch_size=8"])
    assert changed.data.batch_size == 8 and changed.trainer.max_steps == 1000 * 512


def test_a_users_recipe_builds_on_one_of_the_package(tmp_path):
    own = tmp_path / "mine [1] é.yaml"
    own.write_text("defaults:\n  - contrastive\n  - _self_\nobjective:\n  temperature: 0.2\n")
    settings = COMMAND.load([f"recipe={own}", "seed=3", "optimizer.lr=3e-3"])
    assert settings.objective["temperature"] == 0.2
    assert settings.optimizer == {
        "_target_": "torch.optim.AdamW", "lr": 3e-3, "betas": [0.9, 0.95], "weight_decay": 0.05
    }  # fmt: skip
    assert settings.seed == 3 and settings.trainer.max_steps == "auto"


def test_a_users_recipe_alone(tmp_path):
    own = tmp_path / "mine.yaml"
    own.write_text("objective: {_target_: my.Objective}\noptimizer: {_target_: my.SGD, lr: 2}\n")
    settings = COMMAND.load([f"recipe={own}"])
    assert settings.objective == {"_target_": "my.Objective"}
    assert settings.optimizer == {"_target_": "my.SGD", "lr": 2}
    with pytest.raises(SslAudioError, match="schedule"):
        COMMAND.load([f"recipe={own}", "schedule=paper"])


def test_a_printed_configuration_is_a_recipe(tmp_path):
    settings = COMMAND.load(["recipe=byol", "data=folder", "data.root=a b", "online_probe=none"])
    own = tmp_path / "byol.yaml"
    own.write_text(to_yaml(settings))
    assert COMMAND.load([f"recipe={own}"]) == settings


def test_no_recipe():
    with pytest.raises(SslAudioError, match="name a recipe"):
        COMMAND.load([])


def test_help_and_refusals_of_all_commands_import_nothing_heavy():
    code = (
        "import sys\nfrom ssl_audio.__main__ import main\n"
        "for command in sys.argv[1:]:\n"
        "    assert main([command, '--help']) == 0\n"
        "    assert main([command, 'no_such_key=1']) == 1\n"
        "    if command == 'pretrain':\n"
        "        for word in ('trainer.max_steps=0', 'trainer.max_time=5min', 'optimizer.lr=-1',\n"
        "                     'views=[{name: gan}]', 'seed=-1'):\n"
        "            assert main([command, 'recipe=contrastive', word]) == 1\n"
        "    heavy = {'torch', 'timm', 'lightning', 'pandas', 'hydra'} & set(sys.modules)\n"
        "    assert not heavy, (command, heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMANDS], capture_output=True, text=True, cwd=ROOT,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_gives_no_traceback():
    command = f"{sys.executable} -m ssl_audio.pretrain --help | true"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stderr == ""
