"""Every command of the README, in its order, as it stands there but for smaller sizes."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_pretrain import SMALL, environment

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
# run by .ci/run itself
BY_CI = ('pip install -e ".[dev]"', "pip install -e .", "pytest")
DEMO = ["data.source.tracks=24", "data.source.seconds=13"]
FEW = [word for word in SMALL if not word.startswith("data=")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [part.strip() for line in lines for part in line.split("&&") if part.strip()]


@pytest.fixture
def home(tmp_path):
    """A folder with /music and song.mp3 as the README has them."""
    (tmp_path / "music").mkdir()
    for index in range(6):
        noise = np.random.default_rng(index).normal(0, 0.1, 8 * 16_000)
        soundfile.write(tmp_path / "music" / f"{index}.wav", noise, 16_000)
    soundfile.write(tmp_path / "song.mp3", noise, 16_000)
    return tmp_path


@pytest.mark.slow
def test_every_command_runs(home):
    left = [command for command in commands() if command not in BY_CI]
    assert len(left) >= 5
    for command in left:
        if "convert_released" in command:
            continue  # tests/test_convert_released.py
        words = shlex.split(command.replace("/music", str(home / "music")))
        assert words[:2] == ["python", "-m"], f"no test runs {command!r}"
        run(home, [*words[1:], *smaller(command)], command)
    python = next(block for block in blocks("python") if "runs/mine/encoder" in block)
    run(home, ["-c", f"{python}\nassert embedding.track.shape == (1024,)"], "the Python example")


def smaller(command: str) -> list[str]:
    if "--help" in command or "--config" in command or "ssl_audio.pretrain" not in command:
        return []
    more = ["trainer.max_steps=4"] if "ckpt_path=last" in command else []
    return [*FEW, *more] if "data=folder" in command else [*FEW, *DEMO]


def run(home: Path, words: list[str], command: str) -> None:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"
