"""The pretraining command as a user runs it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[1]
FIVE = ["contrastive", "byol", "clustering", "barlow_twins", "vicreg"]
SMALL = [
    "data=folder",
    "data.batch_size=4",
    "data.segment=1.0",
    "data.min_offset=1.0",
    "data.max_offset=3.0",
    "data.workers=0",
    "trainer.max_steps=3",
    "trainer.log_every_n_steps=1",
    "trainer.precision=32-true",
    "trainer.accelerator=cpu",
    "collapse.every_n_steps=1",
]


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Six tracks of 8 s, each a chord of its own that changes over time, and one broken file."""
    folder = tmp_path_factory.mktemp("music")
    time_axis = np.arange(8 * 16000) / 16000
    for index in range(6):
        rng = np.random.default_rng(index)
        tones = sum(np.sin(2 * np.pi * f * time_axis) for f in rng.uniform(100, 4000, 4))
        noise = rng.normal(0, 0.05, len(time_axis))
        soundfile.write(folder / f"{index}.wav", 0.1 * tones * (1 + time_axis / 8) + noise, 16000)
    (folder / "broken.wav").write_bytes(b"RIFF nothing of use")
    return folder


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "ssl_audio.pretrain", *words]


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "SSL_AUDIO_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}


def pretrain(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words),
        capture_output=True,
        text=True,
        timeout=400,
        cwd=tmp_path,
        env=environment(tmp_path),
    )


def losses(run_dir: Path) -> dict[int, float]:
    """Step to loss, of all CSV logs of a run, later ones winning."""
    found = {}
    for path in sorted(run_dir.glob("logs/**/metrics*.csv"), key=lambda p: p.stat().st_mtime):
        with path.open() as file:
            for row in csv.DictReader(file):
                if row.get("train/loss"):
                    found[int(row["step"])] = float(row["train/loss"])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("recipe", FIVE)
def test_each_recipe_trains_and_its_encoder_loads(recipe, music, tmp_path):
    import torch

    import ssl_audio

    run_dir = tmp_path / "run"
    words = [f"recipe={recipe}", *SMALL, f"data.root={music}", f"run_dir={run_dir}"]
    done = pretrain(tmp_path, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((run_dir / "results.json").read_text())
    assert results["steps"] == 3 and results["data"]["skipped"] == 1
    assert np.isfinite(results["metrics"]["train/loss"])
    assert "broken.wav" in (run_dir / "skipped.csv").read_text()
    for name in ("config.yaml", "versions.json", "checkpoints/last.ckpt"):
        assert (run_dir / name).is_file()
    encoder = ssl_audio.load_encoder(run_dir / "encoder")
    assert encoder(torch.randn(2, 16000)).shape == (2, 1024)
    card = (run_dir / "encoder" / "README.md").read_text()
    assert f"python -m ssl_audio.pretrain recipe={recipe} data=folder" in card
    assert not list(run_dir.rglob("*.tmp*"))
    assert "load_encoder" in done.stderr


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_losses(music, tmp_path):
    words = ["recipe=byol", *SMALL, f"data.root={music}", "online_probe=none"]
    words += ["trainer.max_steps=12", "trainer.checkpoint_every=4"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = pretrain(tmp_path, *words, f"run_dir={whole}")
    assert done.returncode == 0, done.stderr[-3000:]
    process = subprocess.Popen(
        command(*words, f"run_dir={killed}"),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while not (killed / "checkpoints" / "last.ckpt").exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "results.json").exists()
    done = pretrain(tmp_path, *words, f"run_dir={killed}", "ckpt_path=last")
    assert done.returncode == 0, done.stderr[-3000:]
    expected, resumed = losses(whole), losses(killed)
    assert sorted(expected) == list(range(12))
    assert 11 in resumed
    for step, loss in resumed.items():
        assert loss == pytest.approx(expected[step], rel=1e-5), f"step {step}"


@pytest.mark.slow
def test_a_finished_run_goes_on_with_more_steps(music, tmp_path):
    words = ["recipe=contrastive", *SMALL, f"data.root={music}", "online_probe=none", "run_dir=run"]
    assert pretrain(tmp_path, *words).returncode == 0
    done = pretrain(tmp_path, *words, "ckpt_path=last", "trainer.max_steps=5")
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(losses(tmp_path / "run")) == [0, 1, 2, 3, 4]
    assert json.loads((tmp_path / "run" / "results.json").read_text())["steps"] == 5
    done = pretrain(tmp_path, *words, "ckpt_path=last", "trainer.max_steps=5")
    assert done.returncode == 1 and "trainer.max_steps" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(music, tmp_path, interruptible):
    words = ["recipe=contrastive", *SMALL, f"data.root={music}", "online_probe=none", "run_dir=run"]
    words += ["trainer.max_steps=4000", "trainer.checkpoint_every=20"]
    process = subprocess.Popen(
        command(*words),
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )
    deadline = time.monotonic() + 200
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    while not last.exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)  # an interrupt that falls into the writing itself may be swallowed there
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "ckpt_path=last" in errors and "Traceback" not in errors
    assert not [path for path in (tmp_path / "run").rglob("*") if "tmp" in path.name]


MINE = """
import torch
from ssl_audio.objectives.projector import projector
from ssl_audio.objectives.objective import LossOutput, Objective


class PullTogether(Objective):
    minimum_batch = 1

    def __init__(self, embedding_size, strength):
        super().__init__(projector((embedding_size, 16)))
        self.strength = strength

    def loss(self, student, teacher, progress):
        distance = (student[0] - student[1]).square().mean()
        return LossOutput(self.strength * distance, {"distance": distance})
"""


@pytest.mark.slow
def test_an_objective_of_ones_own_is_named_from_a_recipe(music, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.yaml").write_text(
        "defaults:\n  - base: pretrain\n  - _self_\n"
        "objective:\n  _target_: mine.PullTogether\n  strength: 2.0\n"
    )
    words = ["recipe=mine.yaml", *SMALL, f"data.root={music}", "online_probe=none", "run_dir=run"]
    done = pretrain(tmp_path, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads((tmp_path / "run" / "results.json").read_text())["metrics"]
    assert metrics["train/loss"] == pytest.approx(2 * metrics["train/distance"], rel=1e-4)


@pytest.mark.slow
def test_two_processes_train_as_one(music, tmp_path):
    words = ["recipe=byol", *SMALL, f"data.root={music}", "online_probe=none"]
    for devices in (1, 2):
        done = pretrain(tmp_path, *words, f"trainer.devices={devices}", f"run_dir=run{devices}")
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = losses(tmp_path / "run1"), losses(tmp_path / "run2")
    assert sorted(one) == sorted(two) == [0, 1, 2]
    for step, loss in one.items():
        assert two[step] == pytest.approx(loss, rel=1e-4), f"step {step}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.root=nowhere"], "nowhere"),
        (["data.segment=30.0"], "no track is long enough"),
        (["data.batch_size=1"], "batch_size=1"),
        (["data.batch_size=64"], "data.batch_size"),
        (["ckpt_path=last", "run_dir=fresh"], "no file"),
        (["optimizer.lr=1.0e+30", "trainer.max_steps=8"], "the loss is"),
        (["encoder.backbone=resnet_of_nobody"], "resnet_of_nobody"),
    ],
)
def test_bad_input_is_one_line_and_a_non_zero_exit(words, message, music, tmp_path):
    given = [] if any(w.startswith("data.root") for w in words) else [f"data.root={music}"]
    done = pretrain(tmp_path, "recipe=contrastive", *SMALL, *given, *words)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and message in last, done.stderr[-2000:]


@pytest.mark.slow
def test_damaged_and_foreign_checkpoints_are_refused(music, tmp_path):
    words = ["recipe=contrastive", *SMALL, f"data.root={music}", "online_probe=none"]
    done = pretrain(tmp_path, *words, "run_dir=run")
    assert done.returncode == 0, done.stderr[-3000:]
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    done = pretrain(
        tmp_path,
        *words,
        "encoder.embedding_size=64",
        "trainer.max_steps=5",
        "run_dir=run",
        f"ckpt_path={checkpoint}",
    )
    assert done.returncode == 1 and "another architecture" in done.stderr
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    done = pretrain(tmp_path, *words, "trainer.max_steps=5", "run_dir=run", "ckpt_path=last")
    assert done.returncode == 1 and "damaged" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_real_music(shared, tmp_path):
    scores = shared / "audio" / "scores"
    done = pretrain(
        tmp_path,
        "recipe=contrastive",
        "data=jamendo",
        f"data.root={scores / 'audio'}",
        f"data.tsv={scores / 'scores-validation.tsv'}",
        "data.batch_size=8",
        "trainer.max_steps=2",
        "online_probe=none",
        "run_dir=run",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["data"]["tracks"] == 63 and not results["collapsed"]
