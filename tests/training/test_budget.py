"""The rule of `schedule=auto`, and runs that end by their time."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ssl_audio.io.errors import SslAudioError
from ssl_audio.pretrain import main
from ssl_audio.training.budget import CPU, Audio, Budget, Machine, duration, plan, seconds_of
from ssl_audio.training.callbacks import ReadFailures
from ssl_audio.training.horizon import Horizon

CORES = Machine("cpu", 2)


def test_the_line_before_training():
    audio = Audio(24.0, 2000)
    assert plan(audio, CORES).describe(audio, CORES) == (
        "24.0 h, 2 cores: 4,000 steps of 64, about 41 min"
    )
    timed = plan(audio, CORES, max_seconds=8 * 3600)
    assert timed.describe(audio, CORES) == "24.0 h, 2 cores: 8 h, steps of 64"
    both = plan(audio, Machine("gpu", 1), max_steps=9, max_seconds=300)
    assert both.describe(audio, Machine("gpu", 1)) == (
        "24.0 h, 1 GPU: 9 steps of 256 or 5 min, whichever ends first"
    )


@given(st.floats(0, 1000), st.floats(1, 4))
def test_steps_grow_with_the_hours_but_slower(hours, factor):
    few, many = (plan(Audio(h, 500), CORES).steps for h in (hours, hours * factor))
    assert CPU.min_steps <= few <= many <= CPU.max_steps
    assert many <= 1.1 * factor * few  # rounded to two digits


def test_given_values_and_limits_of_the_batch():
    audio = Audio(2.4, 300)
    assert 550 <= plan(audio, CORES).steps <= 650
    assert plan(audio, CORES, max_steps=7, batch_size=9) == Budget(7, 9, None, 104.0)
    assert plan(audio, CORES, max_steps=7).batch_size == 64
    assert plan(audio, CORES, max_seconds=9.0).steps is None
    assert plan(audio, CORES, batch_size=128).steps == pytest.approx(
        plan(audio, CORES).steps / 2, rel=0.05
    )
    assert plan(Audio(2.4, 21), Machine("gpu", 2, processes=2)).batch_size == 20
    several = Audio(2.4, 10, pairs_per_track=3)
    assert plan(several, CORES).batch_size == 30
    assert plan(several, Machine("cpu", 2, processes=2)).batch_size == 30
    assert plan(Audio(2.4, 300, pairs_per_track=3), CORES).batch_size == 63
    demo = plan(Audio(2.0, 160, trial=True), Machine("gpu", 1))
    assert (demo.steps, demo.batch_size) == (150, 64)


def test_times_in_words():
    found = [duration(s) for s in (60, 89, 119, 2100, 3600, 4800, 86400)]
    assert found == ["60 s", "89 s", "2 min", "35 min", "1 h", "1 h 20 min", "24 h"]
    assert seconds_of("01:02:03:04") == 93784


def test_used_budgets_are_refused():
    Budget(5, 4, 60.0).check_unfinished(4, 59.0)
    with pytest.raises(SslAudioError, match=r"5 of 5 steps; raise trainer.max_steps="):
        Budget(5, 4, 60.0).check_unfinished(5, 0.0)
    with pytest.raises(SslAudioError, match=r"used 60 s of 60 s; raise trainer.max_time="):
        Budget(None, 4, 60.0).check_unfinished(9**9, 60.0)


@pytest.fixture
def one_second_a_step(monkeypatch):
    """A clock that advances by a second at the start of each step."""
    started = []
    real = ReadFailures.on_train_batch_start

    def start(self, *args):
        started.append(1)
        real(self, *args)

    def elapsed(self, stage="train"):
        return self._offset + len(started) if stage == "train" else 0.0

    monkeypatch.setattr(ReadFailures, "on_train_batch_start", start)
    monkeypatch.setattr(Horizon, "time_elapsed", elapsed)
    return started


def test_the_time_ends_a_run_with_its_schedules_and_more_time_extends_it(
    tmp_path, monkeypatch, capsys, one_second_a_step
):
    monkeypatch.setenv("SSL_AUDIO_CACHE", str(tmp_path / "cache"))
    for k in range(6):
        noise = np.random.default_rng(k).normal(0, 0.1, 6 * 16_000)
        soundfile.write(tmp_path / f"{k}.wav", noise, 16_000)
    run = tmp_path / "run"
    words = [
        "recipe=contrastive", "data=folder", f"data.root={tmp_path}", f"run_dir={run}",
        "data.batch_size=4", "data.segment=1", "data.min_offset=1", "data.max_offset=3",
        "data.workers=0", "encoder.backbone=test_resnet", "encoder.embedding_size=16",
        "objective.projector_sizes=[16,16]",
        "trainer.log_every_n_steps=1", "learning_rate.final=0", "online_probe=none",
        "trainer.accelerator=cpu",
    ]  # fmt: skip

    def results():
        return json.loads((run / "results.json").read_text())

    assert main([*words, "trainer.max_time=00:00:00:06"]) == 0
    assert results()["steps"] == 6 and results()["max_steps"] is None
    assert 0 < results()["metrics"]["rate/pg1"] < 1e-3 * 0.1  # cosine at 5 of 6 s
    assert results()["metrics"]["speed/pairs_per_second"] > 0
    printed = capsys.readouterr().err
    assert "0.0 h, " in printed and " pairs/s, gradient norm " in printed
    more = [*words, "ckpt_path=last"]
    assert main([*more, "trainer.max_time=00:00:00:06"]) == 1
    assert "raise trainer.max_time=" in capsys.readouterr().err
    one_second_a_step.clear()
    assert main([*more, "trainer.max_time=00:00:00:10"]) == 0
    assert "time 6 s -> 10 s): at step 6, 60% of the run is done" in capsys.readouterr().err
    assert results()["steps"] == 10
    rates = [
        line.split(",") for line in (run / "logs" / "csv" / "metrics.csv").read_text().splitlines()
    ]
    column = rates[0].index("rate/pg1")
    resumed = [float(row[column]) for row in rates[1:] if row[column]]
    assert resumed[0] > 2e-4 and resumed == sorted(resumed, reverse=True)
    assert Path(run / "config-resumed.yaml").is_file()
