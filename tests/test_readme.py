"""Every command of the README, in its order, as it stands there but for smaller sizes."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_pretrain import SMALL

from ssl_audio.audio.synthesis import make_demo
from ssl_audio.stores.feature_store import read_store

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
# run by .ci/run itself
BY_CI = ('pip install -e ".[dev]"', "pip install -e .", 'pip install -e ".[playlists]"', "pytest")
DEMO = ["data.tracks=24", "data.seconds=13"]
SMALLER = {
    "demo": ["recordings=recordings", "tracks=600", "playlists=80", "max_length=50"],
    "playlists=playlists/train.parquet": ["siamese.steps=20", "siamese.every=20"],
    "ssl_audio.recommend model=": ["musig.steps=5", "m2grl.steps=5", "transformer.steps=5",
                                   "transformer.layers=1", "graph.min_weight=2"],
}  # fmt: skip
FEW = [word for word in SMALL if not word.startswith("data=")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[str]:
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [part.strip() for line in lines for part in line.split("&&") if part.strip()]


@pytest.fixture
def home(tmp_path):
    """A folder with what the README has: /music, /tagged, checkpoints, song.mp3; and recordings."""
    (tmp_path / "music").mkdir()
    for index in range(10):
        noise = np.random.default_rng(index).normal(0, 0.1, 8 * 16_000)
        soundfile.write(tmp_path / "music" / f"{index}.wav", noise, 16_000)
    soundfile.write(tmp_path / "song.mp3", noise, 16_000)
    for tag, level in {"loud": 0.5, "soft": 0.01}.items():
        (tmp_path / "tagged" / tag).mkdir(parents=True)
        for index in range(20):
            noise = np.random.default_rng([index]).normal(0, level, 2 * 16_000)
            soundfile.write(tmp_path / "tagged" / tag / f"{index}.wav", noise, 16_000)
    make_demo(tmp_path / "recordings", tracks=24, seconds=13, workers=1, progress=False)
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    return tmp_path


@pytest.mark.slow
def test_every_command_runs(home):
    left = [command for command in commands() if command not in BY_CI]
    assert len(left) >= 5
    for command in left:
        if "convert_released" in command:
            continue  # tests/test_convert_released.py
        if "tools/prepare.py" in command:
            command = command.replace("tools/", f"{ROOT}/tools/")
        for name in ("music", "tagged"):
            command = command.replace(f"=/{name}", f"={home / name}")
            command = command.replace(f" /{name}", f" {home / name}")
        if "playlist=my.m3u" in command:
            known = read_store(home / "playlists" / "embeddings.parquet").ids[:3]
            (home / "my.m3u").write_text("\n".join(known))
        words = shlex.split(command)
        assert words[0] == "python", f"no test runs {command!r}"
        run(home, [*words[1:], *smaller(command)], command)
    assert (home / "report" / "report.html").stat().st_size > 10_000
    quick, longer = blocks("python")
    run(home, ["-c", f"{quick}\nassert embedding.shape == (1024,)"], "the quick start")
    run(home, ["-c", f"{longer}\nassert embedding.track.shape == (1024,)"], "the Python example")


def smaller(command: str) -> list[str]:
    for name, words in SMALLER.items():
        if name in command:
            return words
    if "ssl_audio.probe" in command:
        return ["linear_probe.epochs=1", "linear_probe.steps=4", "limited_data.fractions=[0.2]"]
    if "--help" in command or "--config" in command or "ssl_audio.pretrain" not in command:
        return []
    more = ["trainer.max_steps=4"] if "ckpt_path=last" in command else []
    return [*FEW, *more] if "data=folder" in command else [*FEW, *DEMO]


def run(home: Path, words: list[str], command: str) -> None:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=home,
        env={**os.environ, "SSL_AUDIO_CACHE": str(home / "cache"), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"
