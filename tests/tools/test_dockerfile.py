"""The Dockerfile and the examples of the operations page."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from ssl_audio import embed

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "tools" / "Dockerfile"
PAGE = (ROOT / "ssl_audio" / "catalogue" / "OPERATIONS.md").read_text()
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "NUMBA_CACHE_DIR": "/cache/numba"}


def instructions():
    """Name and words of each instruction."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def test_the_image_is_for_an_ordinary_user_without_a_network():
    found = instructions()
    copied = [words.split() for name, words in found if name == "COPY" and "--from" not in words]
    assert all((ROOT / source).exists() for words in copied for source in words[:-1])
    names = {source for words in copied for source in words}
    assert {"ssl_audio", "recipes", "checkpoints/contrastive", "pyproject.toml"} <= names
    users = [words for name, words in found if name == "USER"]
    assert users and re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])
    values = dict(pair.split("=", 1) for n, w in found if n == "ENV" for pair in shlex.split(w))
    assert OFFLINE.items() <= values.items()
    assert not any("latest" in words for name, words in found if name == "FROM")
    assert ("ENTRYPOINT", '["ssl-audio"]') in found


def test_hadolint_finds_nothing():
    if not (hadolint := shutil.which("hadolint")):
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_image_is_built_and_runs():
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "info"], capture_output=True).returncode
    ):
        pytest.skip("no docker daemon")
    build = ["docker", "build", "-q", "-f", str(DOCKERFILE), str(ROOT)]
    built = subprocess.run(build, capture_output=True, text=True)
    if re.search("resolve|timeout|network|connection", built.stderr):
        pytest.skip(f"no network to build with: {built.stderr.splitlines()[-1]}")
    assert built.returncode == 0, built.stderr
    run = ["docker", "run", "--rm", "--read-only", "--network", "none", "--tmpfs", "/tmp"]
    said = subprocess.run([*run, built.stdout.strip(), "--version"], capture_output=True, text=True)
    assert said.stdout.startswith("ssl_audio "), said.stderr


def test_units_and_cron_lines_name_settings_that_exist():
    units = [configparser.ConfigParser(interpolation=None) for _ in range(2)]
    for unit, text in zip(units, re.findall(r"```ini\n(.*?)```", PAGE, re.DOTALL), strict=True):
        unit.optionxform = str
        unit.read_string(text)
    command = units[0]["Service"]["ExecStart"].replace("%%", "%")
    (cron,) = re.findall(r"&& (\S+ embed .*?) 2>>", PAGE)
    (docker,) = re.findall(r"ssl_audio (embed .*)\n", PAGE)
    for line in (command, cron.replace("\\%", "%"), f"ssl-audio {docker}"):
        program, name, *words = shlex.split(line)
        assert program.endswith("ssl-audio") and name == "embed"
        assert embed.COMMAND.load(words).checkpoint == Path("contrastive")
    assert units[1]["Install"]["WantedBy"] == "timers.target"
