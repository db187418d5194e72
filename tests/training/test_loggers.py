"""Loggers by name: each has hyperparameters, throughput, gradient norm and the probe's figures."""

import csv
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from ssl_audio.pretrain import COMMAND, main

SMALL = [
    "recipe=contrastive", "data=folder", "data.root=music", "data.batch_size=4",
    "data.segment=1.0", "data.min_offset=1.0", "data.max_offset=3.0", "data.workers=0",
    "trainer.max_steps=2", "trainer.log_every_n_steps=1", "trainer.precision=32-true",
    "trainer.accelerator=cpu", "encoder.backbone=test_resnet", "encoder.embedding_size=16",
    "online_probe.root=music", "online_probe.train_tsv=tags.tsv", "online_probe.test_tsv=tags.tsv",
    "run_dir=run",
]  # fmt: skip
LOGGED = {"train/loss", "train/gradient_norm", "speed/pairs_per_second", "probe/trained/map"}
LOGS = Path("run/logs")
OFFLINE = {
    "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "MLFLOW_DISABLE_TELEMETRY": "true",
}  # fmt: skip


@pytest.fixture(autouse=True)
def music(own_folder):
    """Four tracks of noise, in two classes."""
    Path("music").mkdir()
    rows = ["TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS"]
    for index in range(4):
        noise = np.random.default_rng(index).normal(0, 0.1, 6 * 16_000)
        soundfile.write(f"music/{index}.wav", noise, 16_000)
        rows.append(f"t{index}\ta\tb\t{index}.wav\t6.0\tmood---{index % 2}")
    Path("tags.tsv").write_text("\n".join(rows) + "\n")


def test_four_loggers_and_callbacks_of_lightning(monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    mlflow = pytest.importorskip("mlflow", reason="pip install mlflow-skinny sqlalchemy alembic")
    pytest.importorskip("wandb", reason="pip install wandb")
    for variable, value in OFFLINE.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    package = "lightning.pytorch.callbacks"
    callbacks = (
        f"[{{_target_: {package}.ModelCheckpoint, dirpath: mine, every_n_train_steps: 1, "
        f"save_top_k: -1}}, {{_target_: {package}.DeviceStatsMonitor, cpu_stats: false}}]"
    )
    names = "[csv, tensorboard, {name: wandb, project: music}, mlflow]"
    assert main([*SMALL, f"logger={names}", f"callbacks={callbacks}"]) == 0
    assert len(list(Path("mine").glob("*.ckpt"))) == 2
    assert {path.name for path in Path().iterdir()} == {"cache", "mine", "music", "run", "tags.tsv"}

    with (LOGS / "csv/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {name: float(value) for row in rows for name, value in row.items() if value}
    assert LOGGED <= found.keys() and all(map(math.isfinite, found.values()))
    events = EventAccumulator(str(LOGS / "tensorboard"))
    events.Reload()
    for name in LOGGED:
        assert events.Scalars(name)[-1].value == pytest.approx(found[name]), name
    for name in ("csv", "tensorboard"):
        known = yaml.safe_load((LOGS / name / "hparams.yaml").read_text())
        assert known["steps"] == 2 and known["objective"]["temperature"] == 0.1

    [log] = (LOGS / "wandb").glob("offline-run-*/run-*.wandb")
    content = log.read_bytes()
    for name in (*LOGGED, "temperature", "batch_size"):
        assert name.encode() in content, name

    client = mlflow.MlflowClient(f"sqlite:///{LOGS.absolute() / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("ssl_audio")
    [run] = client.search_runs([experiment.experiment_id])
    assert {name: run.data.metrics[name] for name in LOGGED} == pytest.approx(
        {name: found[name] for name in LOGGED}
    )
    assert run.data.params["objective/temperature"] == "0.1"
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_one_line_with_its_remedy(name, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, name, None)
    assert main([*SMALL, f"logger=[csv,{name}]"]) == 1
    assert f"logger={name}: no package {name}: pip install {name}" in capsys.readouterr().err
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("seed=0", ["csv", "tensorboard"]),
        ("logger=wandb", ["wandb"]),
        ("logger=[{name: csv, prefix: a}, mlflow]", ["csv", "mlflow"]),
        ("logger=[{_target_: mine.Logger}]", [None, "csv", "tensorboard"]),
        ("logger=[{_target_: mine.Logger}, csv]", [None, "csv"]),
    ],
)
def test_which_loggers_a_run_has(word, names):
    assert [one.get("name") for one in COMMAND.load([*SMALL, word]).loggers] == names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[csv, tensorbord]", "logger[1].name=tensorbord: one of csv, tensorboard, wandb, mlflow. "
         "Did you mean tensorboard?"),
        ("[{name: csv, prefx: a}]", "logger[0].prefx=a: no such argument. Did you mean prefix?"),
        ("[{project: x}]", "give name: or _target_:, one of them"),
        ("3", "logger=3: a list of names or components"),
    ],
)  # fmt: skip
def test_refused_loggers(given, message, capsys):
    assert main([*SMALL, f"logger={given}"]) == 1
    assert message in capsys.readouterr().err
