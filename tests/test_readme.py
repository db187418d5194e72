"""Every command of every README, as it stands there but for smaller sizes."""

import importlib
import os
import re
import shlex
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import uvicorn
from readmes import write_files
from starlette.testclient import TestClient

from ssl_audio.__main__ import COMMANDS
from ssl_audio.__main__ import main as ssl_audio_main
from ssl_audio.audio.demo_corpus import demo_folder
from ssl_audio.catalogue import export
from ssl_audio.stores.feature_store import read_store

ROOT = Path(__file__).resolve().parents[1]
READMES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/**/*.md")]
    if "characterisation" not in path.parts
    and ("checkpoints" not in path.parts or path.parent.name == "checkpoints")
)
# set-up and checks, which .ci/run itself does
BY_CI = (
    "pip install", "pytest", "uv sync", "git clone", "cd ", "python -m venv", ". .venv",
    "ruff ", "mypy", "lint-imports", "bash .ci", "apt-get",
)  # fmt: skip
SMALL_PRETRAIN = [
    "data.workers=0", "data.batch_size=4", "trainer.max_steps=2", "trainer.accelerator=cpu",
    "trainer.precision=32-true", "encoder.backbone=test_resnet", "encoder.embedding_size=32",
]  # fmt: skip
TRACKS, SECONDS = 24, 13.0  # of the fixture demo_corpus
SMALL_DEMO = [f"data.tracks={TRACKS}", f"data.seconds={SECONDS}"]
SMALL_PROBE = ["linear_probe.epochs=1", "linear_probe.steps=4", "limited_data.fractions=[0.2]",
               "few_shot.shots=[1]", "cost=false"]  # fmt: skip
# all baselines are those of tests/characterisation
SMALL_RECOMMEND = ["baselines=[popularity,track2vec]", "musig.steps=5", "m2grl.steps=5",
                   "transformer.steps=5", "transformer.layers=1",
                   "graph.min_weight=2", "completion.resamples=50"]  # fmt: skip


def commands(readme: str) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / readme).read_text(), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if part and not part.startswith(("#", *BY_CI))]


@pytest.fixture(scope="module")
def named_files(demo_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the READMEs name: /music, /tagged, song.mp3 and recordings, which are the
    demo corpus of its cache."""
    home = tmp_path_factory.mktemp("named")
    (home / "music").mkdir()
    for index in range(10):
        noise = np.random.default_rng(index).normal(0, 0.1, 8 * 16_000)
        soundfile.write(home / "music" / f"{index}.wav", noise, 16_000)
    soundfile.write(home / "song.mp3", noise, 16_000)
    for tag, level in {"loud": 0.5, "soft": 0.01}.items():
        (home / "tagged" / tag).mkdir(parents=True)
        for index in range(20):
            noise = np.random.default_rng([index]).normal(0, level, 2 * 16_000)
            soundfile.write(home / "tagged" / tag / f"{index}.wav", noise, 16_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_AUDIO_CACHE", str(home / "cache"))
        cached = demo_folder(TRACKS, SECONDS)
    cached.parent.mkdir(parents=True)
    for link in (cached, home / "recordings"):
        link.symlink_to(demo_corpus)
    (home / "checkpoints").symlink_to(ROOT / "checkpoints")
    (home / "tools").symlink_to(ROOT / "tools")
    return home


@pytest.fixture
def home(named_files: Path, tmp_path: Path) -> Path:
    """A folder of one README, since others write files of the same names."""
    for path in named_files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def smaller(words: list[str]) -> list[str]:
    """Further words that make a command quick."""
    if {"--help", "--config"} & set(words):
        return []
    match words[0]:
        case "pretrain":
            more = ["trainer.max_steps=3"] if "ckpt_path=last" in words else []
            return [*SMALL_PRETRAIN, *more, *([] if "data=folder" in words else SMALL_DEMO)]
        case "probe":
            return SMALL_PROBE
        case "demo":
            return ["recordings=recordings", "tracks=150", "playlists=40", "min_length=45",
                    "max_length=50"]  # fmt: skip
        case "acoustic" if any(word.startswith("playlists=") for word in words):
            return ["siamese.steps=20", "siamese.every=20"]
        case "serve":
            return ["port=0"]
        case "recommend" if any(word.startswith("playlists=") for word in words):
            return SMALL_RECOMMEND
    return []


def run(home: Path, command: str) -> int:
    for name in ("music", "tagged"):
        command = re.sub(rf"(^|[ =])/{name}\b", rf"\g<1>{home / name}", command)
    words = shlex.split(command)
    if words[:2] == ["python", "-m"]:
        words = ["ssl-audio", words[2].removeprefix("ssl_audio."), *words[3:]]
    if words[0] == "ssl-audio":
        assert words[1] in COMMANDS or words[1].startswith("--"), command
        return ssl_audio_main([*words[1:], *smaller(words[1:])])
    assert words[0] == "python" and words[1].startswith("tools/"), f"no test runs {command!r}"
    return int(importlib.import_module(Path(words[1]).stem).main(words[2:]))


def answers(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
    """In place of serving without an end."""
    with TestClient(server.config.app, "http://localhost") as client:
        assert client.get("/health").json()["tracks"]


@pytest.mark.slow
@pytest.mark.parametrize("readme", READMES)
def test_every_command_runs(
    readme: str, home: Path, named_files: Path, exported: Callable, unrendered: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(home)
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(named_files / "cache"))
    _, opened = export.FORMATS[".onnx"]  # the file of the same encoder that tests share
    written = (lambda _, path: shutil.copy(exported(".onnx").path, path), opened)
    monkeypatch.setitem(export.FORMATS, ".onnx", written)
    monkeypatch.setattr(uvicorn.Server, "run", answers)
    write_files(ROOT / readme, home)
    for command in commands(readme):
        apart = ("convert_released", "free_music", "benchmark", "probes=checkpoints/probes")
        if any(word in command for word in apart):
            continue  # the first two have tests of their own; the others take minutes
        if "playlist=my.m3u" in command:
            known = read_store(home / "playlists" / "embeddings.parquet").ids[:3]
            (home / "my.m3u").write_text("\n".join(known))
        assert run(home, command) == 0, command


@pytest.mark.parametrize("readme", READMES)
def test_python_examples_run(readme: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    for block in re.findall(r"```python\n(.*?)```", (ROOT / readme).read_text(), flags=re.DOTALL):
        if "features.parquet" in block and not os.path.exists("features.parquet"):
            continue  # written by the commands of the same README
        exec(compile(block, readme, "exec"), {})


@pytest.mark.parametrize("readme", READMES)
def test_links_lead_somewhere(readme: str) -> None:
    text = (ROOT / readme).read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        if not link.startswith("http"):
            assert ((ROOT / readme).parent / link).exists(), link
